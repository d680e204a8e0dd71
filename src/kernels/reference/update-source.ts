import type { UpdateSourceKernels } from '../update-source.ts'

/**
 * Creates the reference of the update source kernels in plain TypeScript, over the bytes of an update source
 * and an arena.
 */
export const makeReferenceUpdateSourceKernels = (
  updateSource: ArrayBufferLike,
  arena: ArrayBufferLike,
): UpdateSourceKernels => {
  const int32 = (at: number, count: number): Int32Array => new Int32Array(arena, at, count)
  const valueRow = (at: number, place: number, dim: number): Float32Array =>
    new Float32Array(updateSource, at + place * dim * 4, dim)
  const targetRow = (at: number, slot: number, dim: number): Float32Array =>
    new Float32Array(arena, at + slot * dim * 4, dim)
  const addRow = (target: Float32Array, source: Float32Array): void => {
    for (let k = 0; k < target.length; k++) target[k] += source[k]
  }
  return {
    coalesce(
      indicesAt,
      count,
      rowCount,
      skippedRow,
      { slotsAt, capacity, rowsAt, firstsAt, lastsAt, nextsAt },
    ) {
      const [rows, firsts, lasts, nexts] = [rowsAt, firstsAt, lastsAt, nextsAt].map((at) => int32(at, count))
      const slots = int32(slotsAt, capacity).fill(-1)
      let slotCount = 0
      for (const [i, row] of new Int32Array(updateSource, indicesAt, count).entries()) {
        if (row < 0 || row >= rowCount) return -1 - i
        nexts[i] = -1
        if (row === skippedRow) continue
        let at = (Math.imul(row, 0x9e3779b1) >>> 7) & (capacity - 1)
        while (slots[at] !== -1 && rows[slots[at]] !== row) at = (at + 1) & (capacity - 1)
        if (slots[at] === -1) {
          rows[slotCount] = row
          firsts[slotCount] = i
          slots[at] = slotCount++
        } else nexts[lasts[slots[at]]] = i
        lasts[slots[at]] = i
      }
      return slotCount
    },
    sumRows(firstsAt, nextsAt, slotCount, valuesAt, count, targetAt, dim) {
      const nexts = int32(nextsAt, count)
      int32(firstsAt, slotCount).forEach((first, slot) => {
        const target = targetRow(targetAt, slot, dim)
        target.set(valueRow(valuesAt, first, dim))
        for (let i = nexts[first]; i >= 0; i = nexts[i]) addRow(target, valueRow(valuesAt, i, dim))
      })
    },
    addRows(firstsAt, nextsAt, slotCount, valuesAt, count, targetAt, dim) {
      const nexts = int32(nextsAt, count)
      int32(firstsAt, slotCount).forEach((first, slot) => {
        for (let i = first; i >= 0; i = nexts[i])
          addRow(targetRow(targetAt, slot, dim), valueRow(valuesAt, i, dim))
      })
    },
    copyRows(placesAt, slotCount, valuesAt, _count, targetAt, dim) {
      int32(placesAt, slotCount).forEach((place, slot) =>
        targetRow(targetAt, slot, dim).set(valueRow(valuesAt, place, dim)),
      )
    },
    findNonFinite: (valuesAt, count) =>
      new Float32Array(updateSource, valuesAt, count).findIndex((value) => !Number.isFinite(value)),
  }
}
