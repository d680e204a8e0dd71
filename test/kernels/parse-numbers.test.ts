import process from 'node:process'
import { describe, expect, test } from 'vitest'
import { AssertionFailure } from '../../src/core/assert.ts'
import { createNumberScanner, type Precision } from '../../src/kernels/parse-numbers.ts'
import { createRandom, HARD_NUMBERS, randomNumber } from '../formats/json-numbers.ts'

const LONG = process.env.GATHERD_TEST_LONG === '1'
const RANDOM_COUNT = LONG ? 10_000_000 : 200_000
const BATCH_COUNT = 20_000

const scanner = createNumberScanner(4 << 20)

const load = (text: string): number => {
  const bytes = Buffer.from(text, 'latin1')
  scanner.text.set(bytes)
  scanner.text[bytes.length] = 0
  return bytes.length
}

/** Scans `text` once, and returns the values and the end of the scan. */
const scan = (
  text: string,
  valuesMax = 1000,
  precision: Precision = 'double',
): { values: number[]; end: number } => {
  load(text)
  const end = scanner.scan(precision, 0, 0, valuesMax)
  return { values: Array.from(scanner.values[precision].subarray(0, scanner.count)), end }
}

/** Scans rows of `length` in `text` once. */
const scanRows = (
  text: string,
  length: number,
  valuesMax = 1000,
  precision: Precision = 'double',
): { values: number[]; end: number } => {
  load(text)
  const end = scanner.scanRows(precision, 0, length, 0, valuesMax)
  return { values: Array.from(scanner.values[precision].subarray(0, scanner.count * length)), end }
}

/** Scans all numbers and checks their values. Returns how many the scanner left to the slow path. */
const checkAll = (numbers: readonly string[], precision: Precision): number => {
  const length = load(`${numbers.join(',')}]`)
  const values = scanner.values[precision]
  let left = 0
  let index = 0
  let at = 0
  while (index < numbers.length) {
    const end = scanner.scan(precision, at, 0, values.length)
    for (let place = 0; place < scanner.count; place += 1, index += 1) {
      const expected =
        precision === 'single' ? Math.fround(JSON.parse(numbers[index])) : JSON.parse(numbers[index])
      if (!Object.is(values[place], expected))
        throw new Error(`${numbers[index]} was read as ${values[place]}`)
    }
    if (scanner.count > 0) {
      at = end + 1
      continue
    }
    at += numbers[index].length + 1
    index += 1
    left += 1
  }
  expect(at).toBe(length)
  return left
}

describe('the number scanner reads', () => {
  test.each([
    ['1,2,3]', [1, 2, 3], 5],
    ['1 ,\t2\r\n, 3 ]', [1, 2, 3], 11],
    ['-1.5e2', [-150], 6],
    ['12345678]', [12345678], 8],
    ['1,', [1], 1],
    ['1,"2"', [1], 1],
    ['1,[2]', [1], 1],
    ['1 2', [1], 2],
    ['12x', [12], 2],
    ['0.5.5', [0.5], 3],
  ])('%j as %j', (text, values, end) => {
    expect(scan(text)).toEqual({ values, end })
  })

  test('at most as many values as fit', () => {
    expect(scan('1,2,3]', 2)).toEqual({ values: [1, 2], end: 3 })
    expect(scan('1,2,3]', 0)).toEqual({ values: [], end: 0 })
  })

  test.each(HARD_NUMBERS.map((text) => [text]))(
    '%s as JavaScript does, or leaves it to the slow path',
    (text) => {
      checkAll([text], 'double')
      checkAll([text], 'single')
    },
  )

  test(`${RANDOM_COUNT} random numbers as JavaScript does`, { timeout: LONG ? 600_000 : 30_000 }, () => {
    const seed = LONG ? Date.now() | 1 : 1
    const random = createRandom(seed)
    for (let done = 0; done < RANDOM_COUNT; done += BATCH_COUNT) {
      const numbers = Array.from({ length: BATCH_COUNT }, () => randomNumber(random))
      expect(() => checkAll(numbers, 'double'), `seed ${seed}`).not.toThrow()
      expect(() => checkAll(numbers, 'single'), `seed ${seed}`).not.toThrow()
    }
  })

  test('every number that JSON.stringify prints without the slow path', () => {
    const random = createRandom(3)
    const numbers = Array.from({ length: 60_000 }, (_, index) => {
      const float = Math.fround((random() - 2 ** 31) / 2 ** 34)
      return index % 3 === 0 ? String(random()) : JSON.stringify(index % 3 === 1 ? float : float * 1e-12)
    })
    expect(checkAll(numbers, 'double')).toBe(0)
    expect(checkAll(numbers, 'single')).toBe(0)
  })
})

describe('the number scanner leaves to the slow path', () => {
  test.each([
    '',
    '-',
    '-x',
    'x',
    '+1',
    '.5',
    '01',
    '-01',
    '00',
    '1.',
    '1.e5',
    '1e',
    '1e+',
    '1.5E-',
    'NaN',
    'Infinity',
    '"1"',
    'null',
    ' 1',
    ',',
  ])('text that is not a number: %j', (text) => {
    expect(scan(text)).toEqual({ values: [], end: 0 })
  })

  test('more than 19 significant digits, not counting leading zeros', () => {
    expect(scan('1.2345678901234567890').values).toEqual([])
    expect(scan('0.00001234567890123456789').values).toEqual([Number('0.00001234567890123456789')])
    expect(scan('0.12345678901234567890').values).toEqual([])
  })

  test('bytes behind the end of the text', () => {
    load('9'.repeat(64))
    expect(scan('12')).toEqual({ values: [12], end: 2 })
    load('9'.repeat(64))
    expect(scan('12.5').values).toEqual([12.5])
  })

  test('numbers too large for float32 when it reads float32', () => {
    expect(scan('1,3.4028235e38,3.5e38', 1000, 'single')).toEqual({
      values: [1, 3.4028234663852886e38],
      end: 14,
    })
    expect(scan('-3.5e38', 1000, 'single').values).toEqual([])
    expect(scan('-3.5e38').values).toEqual([-3.5e38])
  })
})

describe('rows of equal length', () => {
  test.each([
    [',[1,2],[3,4]]', [1, 2, 3, 4], 12],
    [' , [ 1 , 2 ] ,\n[3,4 ] ]', [1, 2, 3, 4], 21],
    [',[1,2],[3]]', [1, 2], 6],
    [',[1,2],[3,4,5]]', [1, 2], 6],
    [',[1,2],[3,]]', [1, 2], 6],
    [',[1,2],[3,x]]', [1, 2], 6],
    [',[1,2],[3,4', [1, 2], 6],
    [',[1,2],3]', [1, 2], 6],
    [',[1,2]]', [1, 2], 6],
    [',[1,2]', [1, 2], 6],
    [',[[1,2]]', [], 0],
    [',[]', [], 0],
    ['[1,2]', [], 0],
    [']', [], 0],
    ['', [], 0],
  ])('in %j are scanned as %j', (text, values, end) => {
    expect(scanRows(text, 2)).toEqual({ values, end })
    expect(scanRows(text, 2, 1000, 'single')).toEqual({ values, end })
  })

  test('are scanned only as far as they fit', () => {
    expect(scanRows(',[1,2],[3,4],[5,6]', 2, 5)).toEqual({ values: [1, 2, 3, 4], end: 12 })
    expect(scanRows(',[1,2]', 2, 1)).toEqual({ values: [], end: 0 })
  })

  test('are scanned as JavaScript parses them', () => {
    const random = createRandom(11)
    for (const length of [1, 2, 7, 64]) {
      const rows = Array.from({ length: 500 }, () =>
        Array.from({ length }, () => Math.fround((random() - 2 ** 31) / 2 ** 40)),
      )
      const text = JSON.stringify(rows)
      const { values, end } = scanRows(`,${text.slice(1)}`, length, 500 * length, 'single')
      expect(end).toBe(text.length - 1)
      expect(values).toEqual(rows.flat())
    }
  })
})

test('The number scanner asserts that positions lie in its buffers', () => {
  expect(() => scanner.scan('double', -1, 0, 1)).toThrow(AssertionFailure)
  expect(() => scanner.scan('double', scanner.text.length, 0, 1)).toThrow(AssertionFailure)
  expect(() => scanner.scan('double', 0, 0, scanner.values.double.length + 1)).toThrow(AssertionFailure)
  expect(() => scanner.scan('single', 0, 2, 1)).toThrow(AssertionFailure)
  expect(() => scanner.scan('single', 0, -1, 1)).toThrow(AssertionFailure)
  expect(() => scanner.scanRows('single', 0, 0, 0, 1)).toThrow(AssertionFailure)
  expect(() => scanner.scanRows('single', 0, 2, 2, 1)).toThrow(AssertionFailure)
})
