/**
 * The reference of the table kernels, in plain TypeScript. The compiled kernels must equal it in every bit of
 * both memories.
 */
import type { Dtype } from '../../core/types.ts'
import { int8BiasAt, rowBytes, ROWS_AT, STRIPE_COUNT, STRIPES_AT } from '../../layout/table-layout.ts'
import type { RowFormat, TableKernels } from '../table.ts'
import { toBits, widenBfloat16, widenFloat16 } from './floats.ts'
import { makeViews, type Views } from './views.ts'
import { makeConverters } from './elements.ts'
import { makeRowWriters } from './rows.ts'

const copyRow = ({ table, arena }: Views, from: number, to: number, bytes: number): void => {
  for (let k = 0; k < bytes; k++) arena.setUint8(to + k, table.getUint8(from + k))
}

const widenRow = ({ table, arena }: Views, dtype: Dtype, from: number, to: number, dim: number): void => {
  const widen = dtype === 'float16' ? widenFloat16 : widenBfloat16
  for (let k = 0; k < dim; k++) arena.setUint32(to + k * 4, widen(table.getUint16(from + k * 2, true)), true)
}

const dequantiseRow = ({ table, arena }: Views, from: number, to: number, dim: number): void => {
  const scale = table.getFloat32(from + dim, true)
  const bias = table.getFloat32(from + int8BiasAt(dim), true)
  for (let k = 0; k < dim; k++)
    arena.setUint32(to + k * 4, toBits(Math.fround(table.getUint8(from + k) * scale + bias)), true)
}

const writeOutputRow = (
  views: Views,
  format: RowFormat,
  dtype: Dtype,
  from: number,
  to: number,
  dim: number,
): void => {
  if (format === 'stored' || dtype === 'float32') copyRow(views, from, to, rowBytes(dim, dtype))
  else if (dtype === 'int8') dequantiseRow(views, from, to, dim)
  else widenRow(views, dtype, from, to, dim)
}

/**
 * Gathers the positions from `start` on and returns the first whose row is busy, or `count`. A plain gather
 * never considers a row busy.
 */
const gatherFrom = (
  views: Views,
  format: RowFormat,
  dtype: Dtype,
  idsAt: number,
  start: number,
  count: number,
  outAt: number,
  fillAt: number,
  firstRow: number,
  rowCount: number,
  dim: number,
  isBusy: (local: number) => boolean,
): number => {
  const bytes = rowBytes(dim, dtype)
  const outputBytes = format === 'stored' ? bytes : dim * 4
  for (let i = start; i < count; i++) {
    const id = views.arena.getInt32(idsAt + i * 4, true)
    const local = id - firstRow
    const to = outAt + i * outputBytes
    if (id < 0) {
      if (fillAt !== 0) views.arenaBytes.copyWithin(to, fillAt, fillAt + outputBytes)
    } else if (local >= 0 && local < rowCount) {
      if (isBusy(local)) return i
      writeOutputRow(views, format, dtype, ROWS_AT + local * bytes, to, dim)
    }
  }
  return count
}

/**
 * Creates the reference of both gathers. No thread may write the memory meanwhile, so a busy row stays busy.
 */
export const makeGathers = (views: Views): Pick<TableKernels, 'gather' | 'gatherChecked'> => {
  const isBusy = (local: number): boolean =>
    views.table.getUint8(STRIPES_AT + (local % STRIPE_COUNT) * 4) % 2 === 1
  return {
    gather(format, dtype, idsAt, count, outAt, fillAt, firstRow, rowCount, dim) {
      gatherFrom(views, format, dtype, idsAt, 0, count, outAt, fillAt, firstRow, rowCount, dim, () => false)
    },
    gatherChecked: (format, dtype, idsAt, start, count, outAt, fillAt, firstRow, rowCount, dim) =>
      gatherFrom(views, format, dtype, idsAt, start, count, outAt, fillAt, firstRow, rowCount, dim, isBusy),
  }
}

/** Creates the reference of all table kernels, which computes one value at a time. */
export const makeReferenceKernels = (table: ArrayBufferLike, arena: ArrayBufferLike): TableKernels => {
  const views = makeViews(table, arena)
  return { ...makeGathers(views), ...makeRowWriters(views), ...makeConverters(views) }
}
