/**
 * Seeded table values and gradients. The tables are kept, so that every looked-up row can be compared with
 * what was uploaded.
 */
import { makeRandom } from './zipf.ts'

export interface SourceTable {
  rowCount: number
  dim: number
  values: Float32Array
}

/** A table of numbers spread evenly over -0.05..0.05, as Keras initializes an embedding. */
export function makeTable(rowCount: number, dim: number, seed: number): SourceTable {
  return { rowCount, dim, values: makeValues(rowCount * dim, seed * 1_000 + dim, 0.05) }
}

/** Gradients for `idCount` rows, spread evenly over -0.01..0.01. */
export function makeGradients(idCount: number, dim: number, seed: number): Float32Array {
  return makeValues(idCount * dim, seed, 0.01)
}

/** The rows of `ids` one after the other. */
export function gatherRows(table: SourceTable, ids: Int32Array): Float32Array {
  const rows = new Float32Array(ids.length * table.dim)
  ids.forEach((id, position) =>
    rows.set(table.values.subarray(id * table.dim, (id + 1) * table.dim), position * table.dim),
  )
  return rows
}

/** The numbers as little-endian bytes, on any machine that Node runs on. */
export const toBytes = (values: Float32Array | Int32Array): Buffer =>
  Buffer.from(values.buffer, values.byteOffset, values.byteLength)

function makeValues(count: number, seed: number, bound: number): Float32Array {
  const random = makeRandom(seed)
  const values = new Float32Array(count)
  for (let index = 0; index < count; index++) values[index] = (random() * 2 - 1) * bound
  return values
}
