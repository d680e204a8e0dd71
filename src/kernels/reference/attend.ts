/** The reference of the kernels that score rows and select the best of them. */
import type { Metric } from '../attend.ts'

/**
 * Each operation rounds to float32, as a store into a Float32Array does, so that the sums equal those of the
 * kernel.
 */
const { fround } = Math

/**
 * Returns the sum of `terms` in four lanes: the last terms.length mod 4 come first, and the sum is (lane 0 +
 * lane 2) + (lane 1 + lane 3).
 */
const sumTerms = (terms: Float32Array): number => {
  const lanes = [0, 0, 0, 0]
  const tail = terms.length - (terms.length % 4)
  for (let k = tail; k < terms.length; k++) lanes[k - tail] = fround(lanes[k - tail] + terms[k])
  for (let k = 0; k < tail; k++) lanes[k % 4] = fround(lanes[k % 4] + terms[k])
  return fround(fround(lanes[0] + lanes[2]) + fround(lanes[1] + lanes[3]))
}

/**
 * Returns the score of one query and one row, both float32 and of equal length. `cosine` expects queries of
 * length one.
 */
export const scoreReference = (metric: Metric, query: Float32Array, row: Float32Array): number => {
  if (metric === 'l2') {
    const differences = row.map((a, k) => a - query[k])
    return fround(Math.sqrt(sumTerms(differences.map((a) => a * a))))
  }
  const products = row.map((a, k) => a * query[k])
  if (metric === 'dot') return sumTerms(products)
  const length = fround(Math.sqrt(sumTerms(row.map((a) => a * a))))
  return length === 0 ? 0 : fround(sumTerms(products) / length) + 0
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
