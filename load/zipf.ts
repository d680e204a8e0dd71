/** Seeded random numbers and row ids: the same seed asks for the same rows on every machine. */
import { assert } from '../src/core/assert.ts'

export type Distribution = 'zipf' | 'uniform'

/** Rank times stride must stay an exact integer. */
const ROW_COUNT_MAX = 2 ** 26

/**
 * Uniform numbers in [0, 1) with 32 random bits each, from a counter that is hashed (so close seeds give
 * unrelated streams).
 */
export function makeRandom(seed: number): () => number {
  let counter = hashInteger(seed | 0)
  return () => {
    counter = (counter + 0x9e37_79b9) | 0
    return (hashInteger(counter) >>> 0) / 2 ** 32
  }
}

/** A bijection of 32-bit integers that leaves no visible pattern (two rounds of multiply and xor-shift). */
function hashInteger(value: number): number {
  let hash = Math.imul(value ^ (value >>> 16), 0x21f0_aaad)
  hash = Math.imul(hash ^ (hash >>> 15), 0x735a_2d97)
  return hash ^ (hash >>> 15)
}

/**
 * Returns the row of the `rank`-th most frequent id. The mapping is a fixed permutation of 0..rowCount-1 that
 * puts neighbours in rank far apart, because tables are not sorted by popularity.
 */
export function spreadRank(rank: number, rowCount: number): number {
  return (rank * strideFor(rowCount) + (rowCount >>> 1)) % rowCount
}

/**
 * The number nearest to the golden section of `rowCount` that shares no factor with it: multiples spread most
 * evenly.
 */
function strideFor(rowCount: number): number {
  let stride = Math.max(1, Math.round(rowCount * 0.618_033_988_75))
  while (greatestCommonDivisor(stride, rowCount) !== 1) stride += 1
  return stride
}

function greatestCommonDivisor(left: number, right: number): number {
  return right === 0 ? left : greatestCommonDivisor(right, left % right)
}

export interface IdStream {
  distribution: Distribution
  rowCount: number
  count: number
  seed: number
  /** The s of P(rank r) ~ 1 / r^s; uniform ids ignore it. */
  exponent: number
}

/** `count` row ids below `rowCount`. */
export function makeIds(stream: IdStream): Int32Array {
  assert(stream.rowCount >= 1 && stream.rowCount <= ROW_COUNT_MAX, 'ids are made for 1 to 2^26 rows')
  const random = makeRandom(stream.seed)
  const ids = new Int32Array(stream.count)
  if (stream.distribution === 'uniform') {
    for (let index = 0; index < ids.length; index++) ids[index] = Math.floor(random() * stream.rowCount)
    return ids
  }
  const rowOfRank = Int32Array.from({ length: stream.rowCount }, (_, rank) =>
    spreadRank(rank, stream.rowCount),
  )
  const cumulative = accumulateZipf(stream.rowCount, stream.exponent)
  const total = cumulative[stream.rowCount - 1]
  for (let index = 0; index < ids.length; index++)
    ids[index] = rowOfRank[findFirstAbove(cumulative, random() * total)]
  return ids
}

function accumulateZipf(rowCount: number, exponent: number): Float64Array {
  const cumulative = new Float64Array(rowCount)
  let sum = 0
  for (let rank = 0; rank < rowCount; rank++) {
    sum += (rank + 1) ** -exponent
    cumulative[rank] = sum
  }
  return cumulative
}

/** The first index whose value is above `target`, by bisection. */
function findFirstAbove(ascending: Float64Array, target: number): number {
  let low = 0
  let high = ascending.length - 1
  while (low < high) {
    const middle = (low + high) >>> 1
    if (ascending[middle] > target) high = middle
    else low = middle + 1
  }
  return low
}
