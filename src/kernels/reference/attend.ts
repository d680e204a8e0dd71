/** The reference of the kernels that score rows and select the best of them. */
import type { Metric } from '../attend.ts'
import { SAFE_LENGTH_MIN } from '../codes.ts'

/**
 * The numbers of a sum. Each operation rounds as a store into their array does: to float32, so that the sums
 * equal those of the kernel, or not, where a sum is taken again in float64.
 */
type Numbers = Float32Array | Float64Array

const { fround } = Math

const mapNumbers = (numbers: Numbers, compute: (number: number, k: number) => number): Numbers =>
  numbers instanceof Float32Array ? numbers.map(compute) : numbers.map(compute)

/**
 * Returns the sum of `terms` in four lanes: the last terms.length mod 4 come first, and the sum is (lane 0 +
 * lane 2) + (lane 1 + lane 3).
 */
const sumTerms = (terms: Numbers): number => {
  const round = terms instanceof Float32Array ? fround : (value: number): number => value
  const lanes = [0, 0, 0, 0]
  const tail = terms.length - (terms.length % 4)
  for (let k = tail; k < terms.length; k++) lanes[k - tail] = round(lanes[k - tail] + terms[k])
  for (let k = 0; k < tail; k++) lanes[k % 4] = round(lanes[k % 4] + terms[k])
  return round(round(lanes[0] + lanes[2]) + round(lanes[1] + lanes[3]))
}

const sumProducts = (one: Numbers, other: Float32Array): number =>
  sumTerms(mapNumbers(one, (number, k) => number * other[k]))

const sumSquares = (numbers: Numbers): number => sumTerms(mapNumbers(numbers, (number) => number * number))

const isSafe = (length: number): boolean => !(length < SAFE_LENGTH_MIN || length === Infinity)

const scoreDot = (query: Float32Array, row: Float32Array): number => {
  const single = sumProducts(row, query)
  return Number.isFinite(single) ? single : sumProducts(Float64Array.from(row), query)
}

const scoreL2 = (query: Float32Array, row: Float32Array): number => {
  const measure = (numbers: Numbers): number =>
    Math.sqrt(sumSquares(mapNumbers(numbers, (number, k) => number - query[k])))
  const single = fround(measure(row))
  return isSafe(single) ? single : measure(Float64Array.from(row))
}

const scoreCosine = (query: Float32Array, row: Float32Array): number => {
  const single = fround(Math.sqrt(sumSquares(row)))
  const wide = Float64Array.from(row)
  const length = isSafe(single) ? single : Math.sqrt(sumSquares(wide))
  if (length === 0) return 0
  const sum = sumProducts(isSafe(single) ? row : wide, query)
  return Math.max(-1, Math.min(1, sum / length))
}

const SCORES = { dot: scoreDot, l2: scoreL2, cosine: scoreCosine }

/**
 * Returns the score of one query and one row, both float32 and of equal length. `cosine` expects queries of
 * length one.
 */
export const scoreReference = (metric: Metric, query: Float32Array, row: Float32Array): number =>
  fround(SCORES[metric](query, row)) + 0

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
