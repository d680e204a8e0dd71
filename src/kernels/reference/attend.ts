/** The reference of the kernels that score rows and select the best of them. */
import type { Metric } from '../attend.ts'
import { SAFE_LENGTH_MIN } from '../codes.ts'

/** Each operation rounds to float32, so that the sums equal those of the kernel. */
const { fround } = Math
/** float64, in which sums are taken again that float32 does not hold. */
const keepDouble = (value: number): number => value

/**
 * Returns the sum of `terms` in four lanes, every addition rounded by `round`: the last terms.length mod 4
 * come first, and the sum is (lane 0 + lane 2) + (lane 1 + lane 3).
 */
const sumTerms = (terms: readonly number[], round: (value: number) => number): number => {
  const lanes = [0, 0, 0, 0]
  const tail = terms.length - (terms.length % 4)
  for (let k = tail; k < terms.length; k++) lanes[k - tail] = round(lanes[k - tail] + terms[k])
  for (let k = 0; k < tail; k++) lanes[k % 4] = round(lanes[k % 4] + terms[k])
  return round(round(lanes[0] + lanes[2]) + round(lanes[1] + lanes[3]))
}

/** Returns the sum of the products of two vectors. */
const sumProducts = (one: Float32Array, other: Float32Array, round: (value: number) => number): number =>
  sumTerms(
    Array.from(one, (value, k) => round(value * other[k])),
    round,
  )

/** Returns the distance of two vectors. */
const distance = (one: Float32Array, other: Float32Array, round: (value: number) => number): number => {
  const differences = Array.from(one, (value, k) => round(value - other[k]))
  return round(
    Math.sqrt(
      sumTerms(
        differences.map((difference) => round(difference * difference)),
        round,
      ),
    ),
  )
}

const isSafeLength = (length: number): boolean => !(length < SAFE_LENGTH_MIN || length === Infinity)

/** Returns the cosine of a query of length one and a row. */
const cosine = (query: Float32Array, row: Float32Array): number => {
  const single = fround(Math.sqrt(sumProducts(row, row, fround)))
  const round = isSafeLength(single) ? fround : keepDouble
  const length = round(Math.sqrt(sumProducts(row, row, round)))
  if (length === 0) return 0
  return Math.max(-1, Math.min(1, round(sumProducts(query, row, round) / length)))
}

/**
 * Returns the score of one query and one row, both float32 and of equal length. `cosine` expects queries of
 * length one.
 */
export const scoreReference = (metric: Metric, query: Float32Array, row: Float32Array): number => {
  if (metric === 'cosine') return fround(cosine(query, row)) + 0
  if (metric === 'dot') {
    const single = sumProducts(query, row, fround)
    return Number.isFinite(single) ? single : fround(sumProducts(query, row, keepDouble)) + 0
  }
  const single = distance(row, query, fround)
  return isSafeLength(single) ? single : fround(distance(row, query, keepDouble))
}

/**
 * Returns the best `capacity` rows among `scores`, best first. Score i belongs to row i, and `skippedIndex`
 * is excluded.
 */
export const topReference = (
  metric: Metric,
  scores: Float32Array,
  capacity: number,
  skippedIndex: number,
): { indices: number[]; scores: number[] } => {
  const compare = (a: number, b: number): number => {
    if (Number.isNaN(scores[a]) || Number.isNaN(scores[b]))
      return Number(Number.isNaN(scores[a])) - Number(Number.isNaN(scores[b])) || a - b
    if (scores[a] === scores[b]) return a - b
    return scores[a] < scores[b] === (metric === 'l2') ? -1 : 1
  }
  const candidates = Array.from(scores.keys()).filter((index) => index !== skippedIndex)
  const indices = candidates.sort(compare).slice(0, capacity)
  return { indices, scores: indices.map((index) => scores[index]) }
}
