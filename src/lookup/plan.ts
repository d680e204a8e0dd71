import { refuse } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { Dtype, Mode, Settings } from '../core/types.ts'
import type { RowFormat } from '../kernels/index.ts'
import type { VersionHandle } from '../tables/handles.ts'
import { rowBytes } from '../tables/layout.ts'
import type { LookupOptions, LookupRequest } from './request.ts'

/** Element types of an answer. */
export type AnswerType = Exclude<Dtype, 'int8'>

/** Everything about a lookup that is decided before memory is touched. Plain data. */
export interface LookupPlan {
  mode: Mode
  /** What goes where an id has no row, NaN included. */
  fillValue: number
  count: number
  /** indices.shape + [dim]. */
  shape: number[]
  /** Element type of the answer. */
  elementType: AnswerType
  /** What the kernel writes. */
  rowFormat: RowFormat
  gatheredRowBytes: number
  /** Float32 rows are rounded to the 16 bits of `elementType` afterwards. */
  narrow: boolean
  /** Rounded rows are widened again: JSON prints float32 numbers whatever the dtype. */
  widen: boolean
  gatheredBytes: number
  answerBytes: number
  /** Row whose places in the mask are false, or -1. */
  paddingRow: number
  mask: boolean
  /** Offsets inside the lookup's region of the arena. */
  idsAt: number
  fillAt: number
  rowsAt: number
  narrowAt: number
  regionBytes: number
}

const ALIGN = 64
const alignUp = (bytes: number): number => Math.ceil(bytes / ALIGN) * ALIGN

/**
 * Checks a request against the table it reads and lays out its memory. Ids are resolved later, straight into the arena.
 * `text`: the answer will be printed, so the rows must end up as float32.
 */
export const planLookup = (handle: VersionHandle, settings: Settings, request: LookupRequest, text: boolean): LookupPlan => {
  const { options, indices } = request
  const { dim, rows, dtype } = handle
  refuseUnsupported(options)
  const count = indices.length
  if (count > LIMITS.lookupIndexCountMax) {
    refuse('BATCH_TOO_LARGE', `${count} indices in one lookup, the limit is ${LIMITS.lookupIndexCountMax}`)
  }
  if (request.shape.length > LIMITS.indexRankMax) {
    refuse('SHAPE_MISMATCH', `indices have ${request.shape.length} axes, the limit is ${LIMITS.indexRankMax}`)
  }
  const { elementType, rowFormat, narrow } = planAnswer(dtype, options, text)
  const widen = narrow && text
  const gatheredRowBytes = rowFormat === 'stored' ? rowBytes(dim, dtype) : dim * 4
  const gatheredBytes = count * gatheredRowBytes
  const answerBytes = narrow && !widen ? count * dim * 2 : gatheredBytes
  if (gatheredBytes > LIMITS.lookupResponseBytesMax) {
    refuse('BATCH_TOO_LARGE', `the answer would hold ${gatheredBytes} bytes, the limit is ${LIMITS.lookupResponseBytesMax}`)
  }
  const fillAt = alignUp(count * 4)
  const rowsAt = fillAt + alignUp(gatheredRowBytes)
  const narrowAt = rowsAt + alignUp(gatheredBytes)
  return {
    mode: options.mode ?? settings.out_of_range,
    fillValue: (options.fill_value === undefined ? settings.fill_value : options.fill_value) ?? NaN,
    count,
    shape: [...request.shape, dim],
    elementType,
    rowFormat,
    gatheredRowBytes,
    narrow,
    widen,
    gatheredBytes,
    answerBytes,
    paddingRow: paddingRow(options.padding_index === undefined ? settings.padding_index : options.padding_index, rows),
    mask: options.mask ?? false,
    idsAt: 0,
    fillAt,
    rowsAt,
    narrowAt,
    regionBytes: narrow ? narrowAt + alignUp(count * dim * 2) : narrowAt,
  }
}

const refuseUnsupported = (options: LookupOptions): void => {
  if (options.pooling !== undefined && options.pooling !== 'none') {
    refuse('INVALID_REQUEST', `pooling ${options.pooling} is not served by this version`, {
      errors: [{ pointer: '/pooling', detail: 'expected "none"' }],
    })
  }
}

const planAnswer = (
  stored: Dtype,
  options: LookupOptions,
  text: boolean,
): { elementType: AnswerType; rowFormat: RowFormat; narrow: boolean } => {
  const wanted = options.dtype ?? 'float32'
  const elementType = wanted === 'native' ? stored : wanted
  if (elementType === 'int8') refuse('DTYPE_MISMATCH', 'rows of an int8 table are answered as float32, float16 or bfloat16')
  const rowFormat = stored === 'float32' || (stored === elementType && !text) ? 'stored' : 'float32'
  return { elementType, rowFormat, narrow: elementType !== 'float32' && elementType !== stored }
}

/** A negative padding index counts from the end; one that names no row never matches. */
const paddingRow = (index: number | null, rows: number): number => {
  if (index === null) return -1
  return index < 0 ? Math.max(-1, index + rows) : index
}
