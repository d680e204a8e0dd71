import { assert } from '../core/assert.ts'

/**
 * Which distinct rows an update touches. `slots[i]` says which of `rows` the i-th index means; rows stand in the order in
 * which they first appear.
 */
export interface TouchedRows {
  rows: Int32Array
  slots: Int32Array
}

/** Finds the distinct rows among `indices` (all >= 0) by a small open-addressing table. `skip`: a row that is left out, slot -1. */
export const coalesceRows = (indices: Int32Array, skip = -1): TouchedRows => {
  const capacity = 2 ** Math.ceil(Math.log2(Math.max(4, indices.length * 2)))
  const mask = capacity - 1
  const slotOf = new Int32Array(capacity).fill(-1)
  const rows = new Int32Array(indices.length)
  const slots = new Int32Array(indices.length)
  let count = 0
  for (let i = 0; i < indices.length; i++) {
    const row = indices[i]
    if (row === skip) {
      slots[i] = -1
      continue
    }
    let at = (Math.imul(row, 0x9e3779b1) >>> 7) & mask
    while (slotOf[at] !== -1 && rows[slotOf[at]] !== row) at = (at + 1) & mask
    if (slotOf[at] === -1) {
      rows[count] = row
      slotOf[at] = count++
    }
    slots[i] = slotOf[at]
  }
  return { rows: rows.subarray(0, count), slots }
}

/** Sums the rows of `values` that mean the same row, in float32, in request order, into `target` (touched.rows.length x dim). */
export const sumValues = (touched: TouchedRows, values: Float32Array, dim: number, target: Float32Array): void => {
  const { rows, slots } = touched
  assert(values.length === slots.length * dim, 'one row of values per index')
  const seen = new Uint8Array(rows.length)
  for (let i = 0; i < slots.length; i++) {
    const slot = slots[i]
    if (slot < 0) continue
    if (seen[slot] === 0) {
      seen[slot] = 1
      target.set(values.subarray(i * dim, (i + 1) * dim), slot * dim)
    } else addRow(values, i * dim, target, slot * dim, dim)
  }
}

/** `add`: every row of `values` is added to its row of `target`, in order. */
export const addValues = (touched: TouchedRows, values: Float32Array, dim: number, target: Float32Array): void => {
  for (let i = 0; i < touched.slots.length; i++) addRow(values, i * dim, target, touched.slots[i] * dim, dim)
}

/** `set`: the last of equal indices wins. */
export const setValues = (touched: TouchedRows, values: Float32Array, dim: number, target: Float32Array): void => {
  for (let i = 0; i < touched.slots.length; i++) target.set(values.subarray(i * dim, (i + 1) * dim), touched.slots[i] * dim)
}

const addRow = (source: Float32Array, sourceAt: number, target: Float32Array, targetAt: number, dim: number): void => {
  for (let k = 0; k < dim; k++) target[targetAt + k] += source[sourceAt + k]
}
