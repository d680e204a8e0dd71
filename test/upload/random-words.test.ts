import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { encipherBlock, fillRandomWords } from '../../src/upload/random-words.ts'

const words = (seed: number, firstElement: number, count: number): number[] => {
  const target = new Uint32Array(count)
  fillRandomWords(seed, firstElement, target)
  return Array.from(target)
}

describe('Threefry-2x32-20', () => {
  test.each([
    [
      [0, 0],
      [0, 0],
      [0x6b200159, 0x99ba4efe],
    ],
    [
      [0xffffffff, 0xffffffff],
      [0xffffffff, 0xffffffff],
      [0x1cb996fc, 0xbb002be7],
    ],
    [
      [0x13198a2e, 0x03707344],
      [0x243f6a88, 0x85a308d3],
      [0xc4923a9c, 0x483df7a0],
    ],
  ])('answers as its authors published: key %j, counter %j', (key, counter, wanted) => {
    const target = new Uint32Array(2)
    encipherBlock(key[0], key[1], counter[0], counter[1], target, 0)
    expect(Array.from(target)).toEqual(wanted)
  })
})

describe('Random words', () => {
  test('have fixed values, also for the largest seed and far elements', () => {
    expect(words(42, 0, 6)).toEqual([3732534457, 1332528664, 646961260, 4263843367, 2234760234, 457295592])
    expect(words(2 ** 53 - 1, 2 ** 40 - 1, 4)).toEqual([2857919449, 4132251505, 959269877, 967071588])
  })

  test('are the same for an element in any part', () => {
    const whole = words(7, 0, 64)
    fc.assert(
      fc.property(fc.nat(64), fc.nat(64), (a, b) => {
        const [begin, end] = [Math.min(a, b), Math.max(a, b)]
        expect(words(7, begin, end - begin)).toEqual(whole.slice(begin, end))
      }),
    )
  })

  test('differ between seeds, also in the upper half, and beyond 2^33 elements', () => {
    const starts = [words(0, 0, 4), words(1, 0, 4), words(2 ** 32, 0, 4), words(0, 2 ** 33, 4)]
    expect(new Set(starts.map(String)).size).toBe(4)
  })

  test('have every bit set with probability one half', () => {
    const count = 100_000
    const sample = words(3, 0, count)
    for (let bit = 0; bit < 32; bit++) {
      const ones = sample.reduce((sum, word) => sum + ((word >>> bit) & 1), 0)
      // The tolerance is five standard deviations of a fair coin.
      expect(Math.abs(ones - count / 2), `bit ${bit}`).toBeLessThan(2.5 * Math.sqrt(count))
    }
  })
})
