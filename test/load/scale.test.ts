import { describe, expect, test } from 'vitest'
import { escapeHtml, formatBytes, formatCount, formatShort, formatUs } from '../../load/report/format.ts'
import { makeLogScale, spreadApart } from '../../load/report/scale.ts'

const plain = (text: string): string => text.replaceAll('\u2009', ' ')

describe('the report', () => {
  test.each([
    [0, '0'],
    [0.123456, '0.123'],
    [4.5678, '4.57'],
    [99.96, '100'],
    [1_234.5, '1,235'],
    [12_345_678, '12,345,678'],
    [undefined, '–'],
    [Number.NaN, '–'],
  ])('prints the count %s as %s', (value, text) => expect(formatCount(value)).toBe(text))

  test.each([
    [950, '950'],
    [9_994, '9,994'],
    [10_000, '10 k'],
    [123_456, '123 k'],
    [999_600, '1 M'],
    [16_500_000, '16.5 M'],
  ])('prints %i in short as %s', (value, text) => expect(plain(formatShort(value))).toBe(text))

  test.each([
    [0.05, '0.05 µs'],
    [850.4, '850 µs'],
    [999.6, '1 ms'],
    [1_234, '1.23 ms'],
    [2_100_000, '2.1 s'],
    [undefined, '–'],
  ])('prints %s microseconds as %s', (value, text) => expect(plain(formatUs(value))).toBe(text))

  test.each([
    [256e6, '256 MB'],
    [1.024e9, '1.02 GB'],
  ])('prints %i bytes as %s', (value, text) => expect(plain(formatBytes(value))).toBe(text))

  test('escapes text for tags and attributes', () =>
    expect(escapeHtml('<a b="c">&')).toBe('&lt;a b=&quot;c&quot;&gt;&amp;'))
})

describe('a logarithmic scale', () => {
  test('runs between round numbers, with the same factor for each pixel', () => {
    const { at, ticks } = makeLogScale([130, 90_000], 0, 300)
    expect([at(100), at(1_000), at(10_000), at(100_000)]).toEqual(
      [0, 100, 200, 300].map((pixel) => expect.closeTo(pixel, 6)),
    )
    expect(ticks).toEqual([100, 1_000, 10_000, 100_000])
  })

  test('has finer ticks when it is short', () => {
    expect(makeLogScale([3, 40], 0, 100).ticks).toEqual([2, 5, 10, 20, 50])
  })

  test('has an extent even for no value or a single one', () => {
    expect(makeLogScale([], 0, 100).at(10)).toBe(100)
    const { at } = makeLogScale([5, 5], 0, 100)
    expect(at(5)).toBe(0)
    expect(at(50)).toBe(100)
  })

  test('can run upwards', () => {
    expect(makeLogScale([1, 100], 200, 0).at(10)).toBeCloseTo(100)
  })
})

describe('labels at the ends of curves', () => {
  test('are moved apart and keep their order', () => {
    const spread = spreadApart([50, 52, 10, 51], 14)
    const ascending = [...spread].sort((left, right) => left - right)
    ascending.slice(1).forEach((position, index) => expect(position - ascending[index]).toBeGreaterThan(13))
    expect(spread[0]).toBeLessThan(spread[3])
    expect(spread[3]).toBeLessThan(spread[1])
  })

  test('stay where there is room', () => expect(spreadApart([10, 40, 90], 14)).toEqual([10, 40, 90]))
})
