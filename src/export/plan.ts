/**
 * Plans an export: the bytes around the rows, and the order in which the bytes of the stored rows are sent.
 */
import { refuse } from '../core/errors.ts'
import type { Dtype, ElementType, Optimizer } from '../core/types.ts'
import {
  findFormat,
  type FormatName,
  joinWords,
  listNamedArrayTypes,
  mediaTypesOf,
  type NamedArraysFormat,
  tableFormatNames,
} from '../formats/format.ts'
import { type NamedArray, NO_BYTES } from '../formats/shape.ts'
import { int8BiasAt, int8ScaleAt, rowBytes } from '../layout/table-layout.ts'
import { countsSteps, STEP_NAME, stateTensors } from '../optimizers/state-tensors.ts'

/**
 * A part of an export: the bytes `from`..`from + byteCount` of every stored row, or of every row of optimizer
 * state, one row after the other.
 */
export interface ExportPart {
  of: 'rows' | 'state'
  from: number
  byteCount: number
}

/**
 * The plan of an export: the bytes around the rows, and the parts of the rows. Each part is sent for all rows
 * before the next one.
 */
export interface ExportPlan {
  head: Uint8Array
  parts: ExportPart[]
  tail: Uint8Array
  contentLength: number
  /** The element type of the numbers; stored int8 rows count as uint8. */
  elementType: ElementType
  shape: number[]
}

interface TableShape {
  rows: number
  dim: number
  dtype: Dtype
}

/** The optimizer state that the export includes. */
export interface IncludedState {
  optimizer: Optimizer
  /** Gradient steps taken. */
  step: number
}

/** Lists the formats that can carry a dtype as it is stored, in order of preference. */
export const exportFormats = (dtype: Dtype): FormatName[] =>
  tableFormatNames().filter((name) => !findFormat(name).lacks.includes(dtype))

/**
 * Returns the format if it has names for the arrays of optimizer state. Refuses (NOT_ACCEPTABLE) any other.
 */
export const checkStateFormat = (name: FormatName): NamedArraysFormat => {
  const format = findFormat(name)
  if (format.carries === 'named arrays') return format
  return refuse('NOT_ACCEPTABLE', `${name} cannot carry optimizer state; ask for ${listNamedArrayTypes()}`)
}

/**
 * Plans a table in its storage dtype.
 *
 *     numbers, one array   the stored rows [rows, dim]; of int8 [rows, dim + 8] bytes: dim bytes, then
 *                          float32 scale and bias, per row
 *     named arrays         `embeddings` [rows, dim]; of int8 `scale` and `bias` float32 [rows], then
 *                          `embeddings` uint8 [rows, dim], whose values are embeddings * scale + bias;
 *                          in this order, so that the float32 are aligned
 *
 * Optimizer state needs named arrays: `optimizer/step` int64 [] comes first if the kind counts steps, then
 * the arrays of `stateTensors` in float32, then the rows. The optimizer as JSON is the metadata `optimizer`.
 * int8 rows take no gradients, so they have no state. Refuses NOT_ACCEPTABLE for a dtype that the format
 * lacks.
 */
export const planExport = (
  table: TableShape,
  name: FormatName,
  state: IncludedState | null = null,
): ExportPlan => {
  const { rows, dim, dtype } = table
  const format = findFormat(name)
  if (format.lacks.includes(dtype)) {
    const types = joinWords(mediaTypesOf(exportFormats(dtype)), 'or')
    refuse('NOT_ACCEPTABLE', `${name} cannot carry ${dtype}; ask for ${types}`)
  }
  if (state !== null) checkStateFormat(name)
  if (format.carries === 'named arrays') return planArrays(format, table, state)
  const storedBytes = rowBytes(dim, dtype)
  const elementType = dtype === 'int8' ? 'uint8' : dtype
  const shape = [rows, dtype === 'int8' ? storedBytes : dim]
  const { head, tail } =
    format.carries === 'one array'
      ? format.frame({ name: 'embeddings', elementType, shape })
      : { head: NO_BYTES, tail: NO_BYTES }
  return {
    head,
    parts: [{ of: 'rows', from: 0, byteCount: storedBytes }],
    tail,
    contentLength: head.length + rows * storedBytes + tail.length,
    elementType,
    shape,
  }
}

const planArrays = (
  format: NamedArraysFormat,
  table: TableShape,
  state: IncludedState | null,
): ExportPlan => {
  const { rows, dim, dtype } = table
  const rowTensors = planRows(table)
  const stateTensors = state === null || dtype === 'int8' ? [] : planState(table, state.optimizer)
  const steps = state !== null && dtype !== 'int8' && countsSteps(state.optimizer) ? [state.step] : []
  const tensors: NamedArray[] = [
    ...steps.map((): NamedArray => ({ name: STEP_NAME, elementType: 'int64', shape: [] })),
    ...[...stateTensors, ...rowTensors].map(([tensor]) => tensor),
  ]
  const metadata = state === null ? undefined : new Map([['optimizer', JSON.stringify(state.optimizer)]])
  const { head, tail } = format.frame(tensors, metadata)
  const step = new Uint8Array(BigInt64Array.from(steps, BigInt).buffer)
  const parts = [...stateTensors, ...rowTensors].map(([, part]) => part)
  const rowPartsBytes = parts.reduce((sum, { byteCount }) => sum + byteCount, 0)
  return {
    head: Buffer.concat([head, step]),
    parts,
    tail,
    contentLength: head.length + step.length + rows * rowPartsBytes + tail.length,
    elementType: dtype === 'int8' ? 'uint8' : dtype,
    shape: [rows, dim],
  }
}

const planRows = ({ rows, dim, dtype }: TableShape): [NamedArray, ExportPart][] => {
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

const planState = ({ rows, dim }: TableShape, { kind }: Optimizer): [NamedArray, ExportPart][] =>
  stateTensors(kind, rows, dim).map(({ name, shape, from, width }) => [
    { name, elementType: 'float32', shape },
    { of: 'state', from: from * 4, byteCount: width * 4 },
  ])
