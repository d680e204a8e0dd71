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
