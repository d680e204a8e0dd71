import { refuse } from '../core/errors.ts'
import type { Dtype, ElementType, Optimizer } from '../core/types.ts'
import { writeNpyHeader } from '../formats/npy.ts'
import { writeSafetensorsHeader } from '../formats/safetensors.ts'
import { int8BiasAt, int8ScaleAt, rowBytes } from '../layout/table-layout.ts'
import { STEP_NAME, stateTensors } from '../layout/state-layout.ts'

export type ExportFormat = 'raw' | 'npy' | 'safetensors'

/** Which bytes of every stored row, or of every row of optimizer state, come, row after row: from `from`, `byteCount` of them. */
export interface ExportPart {
  of: 'rows' | 'state'
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

/** Optimizer state that is to come too. */
export interface IncludedState {
  optimizer: Optimizer
  /** Gradient steps taken. */
  step: number
}

/** The formats that carry a dtype as it is stored, the first to be preferred: npy has no bfloat16, and int8 rows are three arrays. */
export const exportFormats = (dtype: Dtype): ExportFormat[] =>
  dtype === 'float32' || dtype === 'float16' ? ['npy', 'safetensors', 'raw'] : ['safetensors', 'raw']

/** Refuses (NOT_ACCEPTABLE) optimizer state in a format that holds one array. */
export const checkStateFormat = (format: ExportFormat): void => {
  if (format !== 'safetensors')
    refuse('NOT_ACCEPTABLE', `${format} cannot carry optimizer state; ask for application/x-safetensors`)
}

/**
 * Plans a table in its storage dtype.
 *
 * raw           the stored rows; of int8, [rows, dim + 8] bytes: dim bytes, then float32 scale and bias, per row
 * npy           one array; NOT_ACCEPTABLE for bfloat16 and int8
 * safetensors   `embeddings` [rows, dim]. int8: `scale` F32 [rows] and `bias` F32 [rows], then `embeddings` U8 [rows, dim], of which the
 *               value is embeddings * scale + bias; in this order, so that the float32 are aligned
 *
 * With optimizer state, safetensors only: before all that adam's `optimizer/step` I64 [], then the arrays of `stateTensors` F32; the
 * optimizer as JSON is the metadata `optimizer`. int8 rows take no gradients, and have no state.
 */
export const planExport = (
  table: TableShape,
  format: ExportFormat,
  state: IncludedState | null = null,
): ExportPlan => {
  const { rows, dim, dtype } = table
  if (!exportFormats(dtype).includes(format)) {
    refuse(
      'NOT_ACCEPTABLE',
      `${format} cannot carry ${dtype}; ask for application/x-safetensors or application/octet-stream`,
    )
  }
  if (state !== null) checkStateFormat(format)
  if (format === 'safetensors') return planSafetensorsExport(table, state)
  const storedBytes = rowBytes(dim, dtype)
  const elementType = dtype === 'int8' ? 'uint8' : dtype
  const shape = [rows, dtype === 'int8' ? storedBytes : dim]
  const header = format === 'npy' ? writeNpyHeader(elementType, shape) : new Uint8Array(0)
  return {
    header,
    parts: [{ of: 'rows', from: 0, byteCount: storedBytes }],
    contentLength: header.length + rows * storedBytes,
    elementType,
    shape,
  }
}

interface Tensor {
  name: string
  elementType: ElementType
  shape: number[]
}

const planSafetensorsExport = (table: TableShape, state: IncludedState | null): ExportPlan => {
  const { rows, dim, dtype } = table
  const rowTensors = planRows(table)
  const stateTensors = state === null || dtype === 'int8' ? [] : planState(table, state.optimizer)
  const counted = state !== null && dtype !== 'int8' && state.optimizer.kind === 'adam' ? [state.step] : []
  const tensors: Tensor[] = [
    ...counted.map((): Tensor => ({ name: STEP_NAME, elementType: 'int64', shape: [] })),
    ...[...stateTensors, ...rowTensors].map(([tensor]) => tensor),
  ]
  const metadata = state === null ? undefined : new Map([['optimizer', JSON.stringify(state.optimizer)]])
  const { header, bodyBytes } = writeSafetensorsHeader(tensors, metadata)
  const step = new Uint8Array(BigInt64Array.from(counted, BigInt).buffer)
  return {
    header: Buffer.concat([header, step]),
    parts: [...stateTensors, ...rowTensors].map(([, part]) => part),
    contentLength: bodyBytes,
    elementType: dtype === 'int8' ? 'uint8' : dtype,
    shape: [rows, dim],
  }
}

const planRows = ({ rows, dim, dtype }: TableShape): [Tensor, ExportPart][] => {
  const shape = [rows, dim]
  if (dtype !== 'int8') {
    return [
      [
        { name: 'embeddings', elementType: dtype, shape },
        { of: 'rows', from: 0, byteCount: rowBytes(dim, dtype) },
      ],
    ]
  }
  return [
    [
      { name: 'scale', elementType: 'float32', shape: [rows] },
      { of: 'rows', from: int8ScaleAt(dim), byteCount: 4 },
    ],
    [
      { name: 'bias', elementType: 'float32', shape: [rows] },
      { of: 'rows', from: int8BiasAt(dim), byteCount: 4 },
    ],
    [
      { name: 'embeddings', elementType: 'uint8', shape },
      { of: 'rows', from: 0, byteCount: dim },
    ],
  ]
}

const planState = ({ rows, dim }: TableShape, { kind }: Optimizer): [Tensor, ExportPart][] =>
  stateTensors(kind, rows, dim).map(({ name, shape, from, width }) => [
    { name, elementType: 'float32', shape },
    { of: 'state', from: from * 4, byteCount: width * 4 },
  ])
