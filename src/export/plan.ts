import { refuse } from '../core/errors.ts'
import type { Dtype, ElementType } from '../core/types.ts'
import { writeNpyHeader } from '../formats/npy.ts'
import { writeSafetensorsHeader } from '../formats/safetensors.ts'
import { rowBytes } from '../tables/layout.ts'

export type ExportFormat = 'raw' | 'npy' | 'safetensors'

/** Which bytes of every stored row come, row after row: from `from`, `byteCount` of them. */
export interface ExportPart {
  from: number
  byteCount: number
}

/** An export before it begins: what goes before the rows, and which parts of the rows follow, each part for all rows. */
export interface ExportPlan {
  header: Uint8Array
  parts: ExportPart[]
  contentLength: number
  /** Of the numbers that follow; int8 rows as they are stored are uint8. */
  elementType: ElementType
  shape: number[]
}

interface TableShape {
  rows: number
  dim: number
  dtype: Dtype
}

/** The formats that carry a dtype as it is stored, the first to be preferred: npy has no bfloat16, and int8 rows are three arrays. */
export const exportFormats = (dtype: Dtype): ExportFormat[] =>
  dtype === 'float32' || dtype === 'float16' ? ['npy', 'safetensors', 'raw'] : ['safetensors', 'raw']

/**
 * Plans a table in its storage dtype.
 *
 * raw           the stored rows; of int8, [rows, dim + 8] bytes: dim bytes, then float32 scale and bias, per row
 * npy           one array; NOT_ACCEPTABLE for bfloat16 and int8
 * safetensors   `embeddings` [rows, dim]. int8: `scale` F32 [rows] and `bias` F32 [rows], then `embeddings` U8 [rows, dim], of which the
 *               value is embeddings * scale + bias; in this order, so that the float32 are aligned
 */
export const planExport = (table: TableShape, format: ExportFormat): ExportPlan => {
  const { rows, dim, dtype } = table
  if (!exportFormats(dtype).includes(format)) {
    refuse('NOT_ACCEPTABLE', `${format} cannot carry ${dtype}; ask for application/x-safetensors or application/octet-stream`)
  }
  if (format === 'safetensors') return planSafetensorsExport(table)
  const storedBytes = rowBytes(dim, dtype)
  const elementType = dtype === 'int8' ? 'uint8' : dtype
  const shape = [rows, dtype === 'int8' ? storedBytes : dim]
  const header = format === 'npy' ? writeNpyHeader(elementType, shape) : new Uint8Array(0)
  return { header, parts: [{ from: 0, byteCount: storedBytes }], contentLength: header.length + rows * storedBytes, elementType, shape }
}

const planSafetensorsExport = ({ rows, dim, dtype }: TableShape): ExportPlan => {
  const shape = [rows, dim]
  if (dtype !== 'int8') {
    const { header, bodyBytes } = writeSafetensorsHeader([{ name: 'embeddings', elementType: dtype, shape }])
    return { header, parts: [{ from: 0, byteCount: rowBytes(dim, dtype) }], contentLength: bodyBytes, elementType: dtype, shape }
  }
  const { header, bodyBytes } = writeSafetensorsHeader([
    { name: 'scale', elementType: 'float32', shape: [rows] },
    { name: 'bias', elementType: 'float32', shape: [rows] },
    { name: 'embeddings', elementType: 'uint8', shape },
  ])
  const parts = [
    { from: dim, byteCount: 4 },
    { from: dim + 4, byteCount: 4 },
    { from: 0, byteCount: dim },
  ]
  return { header, parts, contentLength: bodyBytes, elementType: 'uint8', shape }
}
