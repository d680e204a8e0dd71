import { queryBytes } from '../kernels/attend.ts'
import type { Arena } from '../tables/arena.ts'
import type { AttendPlan } from './plan.ts'

/**
 * Writes queries as the kernels read them: zeros up to a multiple of four numbers, and for cosine each divided by its length, in float64, so
 * that neither a tiny nor a huge query loses anything. One without a direction stays zeros: its cosines are 0.
 */
export const writeQueries = (
  arena: Arena,
  at: number,
  queries: Float32Array,
  { metric, dim, queryCount }: AttendPlan,
): void => {
  const stride = queryBytes(dim) / 4
  const target = arena.float32.subarray(at / 4, at / 4 + queryCount * stride)
  for (let query = 0; query < queryCount; query++) {
    const source = queries.subarray(query * dim, (query + 1) * dim)
    const divisor = metric === 'cosine' ? measureLength(source) || 1 : 1
    for (let k = 0; k < stride; k++) target[query * stride + k] = k < dim ? source[k] / divisor : 0
  }
}

const measureLength = (values: Float32Array): number => {
  let sum = 0
  for (let k = 0; k < values.length; k++) sum += values[k] * values[k]
  return Math.sqrt(sum)
}
