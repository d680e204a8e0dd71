/** The reference of the kernels that convert elements between types. */
import type { SourceType, TableKernels, TargetType } from '../table.ts'
import { ELEMENT_BYTES } from '../../core/types.ts'
import { ROWS_AT } from '../../layout/table-layout.ts'
import { fromBits, narrowBfloat16, narrowFloat16, toBits, widenBfloat16, widenFloat16 } from './floats.ts'
import type { Views } from './views.ts'

/** Returns the bits of the float32 value of an element. */
const readElement = (view: DataView, type: SourceType, at: number): number => {
  if (type === 'float64') return toBits(Math.fround(view.getFloat64(at, true)))
  if (type === 'float32') return view.getUint32(at, true)
  const half = view.getUint16(at, true)
  return type === 'float16' ? widenFloat16(half) : widenBfloat16(half)
}

/** Stores the float32 with these bits as `type`. Returns true if the stored number is finite. */
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
    const bits = readElement(from, source, sourceAt + i * ELEMENT_BYTES[source])
    const isFinite = writeElement(to, target, targetAt + i * ELEMENT_BYTES[target], bits)
    if (!isFinite && first < 0) first = i
  }
  return first
}

/** Creates the references of the kernels that convert elements. */
export const makeConverters = ({
  table,
  arena,
}: Views): Pick<TableKernels, 'ingest' | 'convert' | 'finite'> => ({
  ingest: (source, target, sourceAt, elementCount, rowsOffset) =>
    convertElements(source, target, arena, sourceAt, elementCount, table, ROWS_AT + rowsOffset),
  convert: (source, target, sourceAt, elementCount, targetAt) =>
    convertElements(source, target, arena, sourceAt, elementCount, arena, targetAt),
  finite(at, elementCount) {
    for (let i = 0; i < elementCount; i++) if (!Number.isFinite(arena.getFloat32(at + i * 4, true))) return i
    return -1
  },
})
