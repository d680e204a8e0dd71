/** The reference of the kernels that write whole rows: scatter and quantise. */
import { rowBytes, ROWS_AT, STRIPE_COUNT, STRIPES_AT } from '../../layout/table-layout.ts'
import type { TableKernels } from '../table.ts'
import { roundHalfEven, toBits } from './floats.ts'
import type { Views } from './views.ts'

/**
 * Quantises a row as FBGEMM's 8-bit SBFloat does, with every operation rounded to float32. Returns false if
 * the row cannot be quantised and is stored as NaN.
 */
const quantiseRow = (values: number[], table: DataView, rowAt: number): boolean => {
  const bias = Math.min(...values)
  const range = Math.fround(Math.max(...values) - bias)
  const usable = Number.isFinite(range)
  const inverse = Math.fround(255 / Math.fround(range + Math.fround(1e-8)))
  for (const [k, value] of values.entries()) {
    const byte = usable ? roundHalfEven(Math.fround(Math.fround(value - bias) * inverse)) : 0
    table.setUint8(rowAt + k, byte)
  }
  table.setUint32(rowAt + values.length, usable ? toBits(Math.fround(range / 255)) : toBits(NaN), true)
  table.setUint32(rowAt + values.length + 4, usable ? toBits(bias) : toBits(NaN), true)
  return usable
}

/** Creates the references of the kernels that write whole rows. */
export const makeRowWriters = ({ table, arena }: Views): Pick<TableKernels, 'scatter' | 'quantise'> => ({
  scatter(idsAt, count, rowsAt, firstRow, rowCount, bytes) {
    for (let i = 0; i < count; i++) {
      const local = arena.getInt32(idsAt + i * 4, true) - firstRow
      if (local < 0 || local >= rowCount) continue
      const word = STRIPES_AT + (local % STRIPE_COUNT) * 4
      table.setInt32(word, table.getInt32(word, true) + 2, true)
      for (let k = 0; k < bytes; k++)
        table.setUint8(ROWS_AT + local * bytes + k, arena.getUint8(rowsAt + i * bytes + k))
    }
  },
  quantise(sourceAt, quantisedRowCount, dim, localRow) {
    if (dim === 0) return -1
    let first = -1
    for (let i = 0; i < quantisedRowCount; i++) {
      const values = Array.from({ length: dim }, (_, k) =>
        arena.getFloat32(sourceAt + (i * dim + k) * 4, true),
      )
      const usable = quantiseRow(values, table, ROWS_AT + (localRow + i) * rowBytes(dim, 'int8'))
      const bad = values.findIndex((value) => !Number.isFinite(value))
      if (!usable && first < 0) first = i * dim + Math.max(0, bad)
    }
    return first
  },
})
