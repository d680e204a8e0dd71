import type { CombineKernels } from '../apply.ts'

/** References of what makes one row of those that mean the same, over the bytes of an arena. */
export const makeReferenceCombiners = (arena: ArrayBufferLike): CombineKernels => {
  const readSlots = (at: number, count: number): Int32Array => new Int32Array(arena, at, count)
  const readRow = (at: number, index: number, dim: number): Float32Array => new Float32Array(arena, at + index * dim * 4, dim)
  const addRow = (target: Float32Array, source: Float32Array): void => {
    for (let k = 0; k < target.length; k++) target[k] += source[k]
  }
  return {
    sumRows(slotsAt, count, rowsAt, dim) {
      let sums = 0
      readSlots(slotsAt, count).forEach((slot, i) => {
        if (slot === sums) readRow(rowsAt, sums++, dim).set(readRow(rowsAt, i, dim))
        else if (slot >= 0 && slot < sums) addRow(readRow(rowsAt, slot, dim), readRow(rowsAt, i, dim))
      })
      return sums
    },
    addRows(slotsAt, count, rowsAt, targetAt, targetCount, dim) {
      readSlots(slotsAt, count).forEach((slot, i) => {
        if (slot >= 0 && slot < targetCount) addRow(readRow(targetAt, slot, dim), readRow(rowsAt, i, dim))
      })
    },
    setRows(slotsAt, count, rowsAt, targetAt, targetCount, dim) {
      readSlots(slotsAt, count).forEach((slot, i) => {
        if (slot >= 0 && slot < targetCount) readRow(targetAt, slot, dim).set(readRow(rowsAt, i, dim))
      })
    },
  }
}
