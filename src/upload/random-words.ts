import { assert } from '../core/assert.ts'

/*
 * Threefry-2x32 with 20 rounds (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3",
 * 2011): a block cipher of additions, rotations and exclusive ors of 32-bit integers, used as a generator.
 * The key is the seed, the counter says which block, so that any part of a table can be made without the
 * parts before it, alike on every machine.
 */
const PARITY = 0x1bd11bda
const BLOCKS_PER_LOW_WORD = 2 ** 32

const rotate = (word: number, bits: number): number => (word << bits) | (word >>> (32 - bits))

/**
 * One block: the two words of `counter`, enciphered with the two words of the key, go to target[at] and
 * target[at + 1].
 */
export const encipherBlock = (
  key0: number,
  key1: number,
  counterLow: number,
  counterHigh: number,
  target: Uint32Array,
  at: number,
): void => {
  const key2 = key0 ^ key1 ^ PARITY
  let x0 = (counterLow + key0) | 0
  let x1 = (counterHigh + key1) | 0
  let now = key1
  let next = key2
  let later = key0
  for (let round = 1; round <= 5; round++) {
    const odd = round & 1
    x0 = (x0 + x1) | 0
    x1 = rotate(x1, odd ? 13 : 17) ^ x0
    x0 = (x0 + x1) | 0
    x1 = rotate(x1, odd ? 15 : 29) ^ x0
    x0 = (x0 + x1) | 0
    x1 = rotate(x1, odd ? 26 : 16) ^ x0
    x0 = (x0 + x1) | 0
    x1 = rotate(x1, odd ? 6 : 24) ^ x0
    x0 = (x0 + now) | 0
    x1 = (x1 + next + round) | 0
    const spent = now
    now = next
    next = later
    later = spent
  }
  target[at] = x0
  target[at + 1] = x1
}

/**
 * Fills `target` with the random words of elements firstElement, firstElement + 1, ..: word i & 1 of block i
 * >> 1 belongs to element i. `seed` is a whole number below 2^53; its low and high 32 bits are the key.
 */
export const fillRandomWords = (seed: number, firstElement: number, target: Uint32Array): void => {
  assert(Number.isSafeInteger(seed) && seed >= 0, 'a seed is a whole number')
  assert(Number.isSafeInteger(firstElement) && firstElement >= 0, 'elements are counted from 0')
  const key0 = seed | 0
  const key1 = Math.floor(seed / 2 ** 32) | 0
  let block = Math.floor(firstElement / 2)
  let at = 0
  const pair = new Uint32Array(2)
  const cipherInto = (words: Uint32Array, place: number): void => {
    encipherBlock(key0, key1, block | 0, Math.floor(block / BLOCKS_PER_LOW_WORD), words, place)
    block += 1
  }
  if (firstElement % 2 === 1 && target.length > 0) {
    cipherInto(pair, 0)
    target[at++] = pair[1]
  }
  for (; at + 2 <= target.length; at += 2) cipherInto(target, at)
  if (at < target.length) {
    cipherInto(pair, 0)
    target[at] = pair[0]
  }
}
