import { type Dtype, ELEMENT_BYTES } from '../../core/types.ts'
import { int8BiasAt, rowBytes, ROWS_AT, STRIPE_COUNT, STRIPES_AT } from '../../layout/table-layout.ts'
import type { RowFormat, SourceType, TableKernels, TargetType } from '../table.ts'
import {
  fromBits,
  narrowBfloat16,
  narrowFloat16,
  roundHalfEven,
  toBits,
  widenBfloat16,
  widenFloat16,
} from './floats.ts'
import { makeViews, type Views } from './views.ts'

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

/** FBGEMM's 8-bit SBFloat, every operation rounded to float32. False: the row has no such form and is NaN. */
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

/** References of what writes whole rows. */
const makeRowWriters = ({ table, arena }: Views): Pick<TableKernels, 'scatter' | 'quantise'> => ({
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

/** Bits of the float32 that an element stands for. */
const readElement = (view: DataView, type: SourceType, at: number): number => {
  if (type === 'float64') return toBits(Math.fround(view.getFloat64(at, true)))
  if (type === 'float32') return view.getUint32(at, true)
  const half = view.getUint16(at, true)
  return type === 'float16' ? widenFloat16(half) : widenBfloat16(half)
}

/** Stores the float32 of these bits. True: as a finite number. */
const writeElement = (view: DataView, type: TargetType, at: number, bits: number): boolean => {
  if (type === 'float32') {
    view.setUint32(at, bits, true)
    return Number.isFinite(fromBits(bits))
  }
  const half = type === 'float16' ? narrowFloat16(bits) : narrowBfloat16(bits)
  view.setUint16(at, half, true)
  return Number.isFinite(fromBits(type === 'float16' ? widenFloat16(half) : widenBfloat16(half)))
}

const convertElements = (
  source: SourceType,
  target: TargetType,
  from: DataView,
  sourceAt: number,
  count: number,
  to: DataView,
  targetAt: number,
): number => {
  let first = -1
  for (let i = 0; i < count; i++) {
    if (source === target) {
      // Elements of the same type keep their bits, those of NaN too.
      const bytes = ELEMENT_BYTES[source]
      const element = new Uint8Array(from.buffer, from.byteOffset + sourceAt + i * bytes, bytes).slice()
      new Uint8Array(to.buffer, to.byteOffset + targetAt + i * bytes, bytes).set(element)
      if (!Number.isFinite(fromBits(readElement(to, source, targetAt + i * bytes))) && first < 0) first = i
      continue
    }
    const bits = readElement(from, source, sourceAt + i * ELEMENT_BYTES[source])
    const isFinite = writeElement(to, target, targetAt + i * ELEMENT_BYTES[target], bits)
    if (!isFinite && first < 0) first = i
  }
  return first
}

/** References of what converts elements. */
const makeConverters = ({ table, arena }: Views): Pick<TableKernels, 'ingest' | 'convert' | 'finite'> => ({
  ingest: (source, target, sourceAt, elementCount, rowsOffset) =>
    convertElements(source, target, arena, sourceAt, elementCount, table, ROWS_AT + rowsOffset),
  convert: (source, target, sourceAt, elementCount, targetAt) =>
    convertElements(source, target, arena, sourceAt, elementCount, arena, targetAt),
  finite(at, elementCount) {
    for (let i = 0; i < elementCount; i++) if (!Number.isFinite(arena.getFloat32(at + i * 4, true))) return i
    return -1
  },
})
