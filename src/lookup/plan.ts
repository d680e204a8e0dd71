/** Plans a lookup: checks it against the table that it reads, and lays out the memory that it needs. */
import type { Dtype, Mode, Settings } from '../core/types.ts'
import type { RowFormat } from '../kernels/table.ts'
import { alignUp } from '../layout/cache-lines.ts'
import type { AdapterHandle, VersionHandle } from '../tables/handles.ts'
import { rowBytes } from '../layout/table-layout.ts'
import { checkPaddingIndex, resolvePaddingRow } from '../tables/resolve.ts'
import { type BagPlan, planBags } from './bags.ts'
import type { LookupOptions, LookupRequest } from './request.ts'
import { refuse } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'

/** The element types of an answer. uint8 stands for int8 rows as they are stored (see int8-rows.ts). */
export type AnswerType = Exclude<Dtype, 'int8'> | 'uint8'

/** The plan of a lookup, made before memory is touched, as plain data. */
export interface LookupPlan {
  mode: Mode
  /** The value of rows for ids that name no row; it may be NaN. */
  fillValue: number
  count: number
  /** The bags to pool. null: each index gives a row of the answer. */
  bags: BagPlan | null
  /** The shape of the answer: indices.shape + [dim], or [bags, dim]. */
  shape: number[]
  /** Element type of the answer. */
  elementType: AnswerType
  /** The format of the rows that the kernel writes. */
  rowFormat: RowFormat
  gatheredRowBytes: number
  /** Whether float32 rows are then rounded to the 16 bits of `elementType`. */
  narrow: boolean
  /** Whether rounded rows are widened again, because JSON prints float32 numbers for every dtype. */
  widen: boolean
  gatheredBytes: number
  answerBytes: number
  /** The row whose ids are false in the mask; -1 for none. */
  paddingRow: number
  mask: boolean
  /** Offsets inside the lookup's region of the arena. */
  idsAt: number
  offsetsAt: number
  weightsAt: number
  fillAt: number
  rowsAt: number
  narrowAt: number
  regionBytes: number
}

/**
 * Checks a request against the table that it reads and lays out its memory. Ids are resolved later, straight
 * into the arena. `text` says that the answer will be printed, so the rows must end up as float32. `adapter`
 * is the one that is added to the rows.
 */
export const planLookup = (
  handle: VersionHandle,
  settings: Settings,
  request: LookupRequest,
  text: boolean,
  adapter?: AdapterHandle,
): LookupPlan => {
  const { options, indices } = request
  const { dim, rows, dtype } = handle
  const count = indices.length
  if (count > LIMITS.lookupIndexCountMax) {
    refuse('BATCH_TOO_LARGE', `${count} indices in one lookup, the limit is ${LIMITS.lookupIndexCountMax}`)
  }
  if (countEmptyLists(request.shape) > LIMITS.lookupIndexCountMax) {
    refuse(
      'BATCH_TOO_LARGE',
      `indices of shape ${request.shape.join()} are too many empty lists, ` +
        `the limit is ${LIMITS.lookupIndexCountMax}`,
    )
  }
  if (request.shape.length > LIMITS.indexRankMax) {
    refuse('SHAPE_MISMATCH', `indices have ${request.shape.length} axes, the limit is ${LIMITS.indexRankMax}`)
  }
  checkPaddingIndex(options.padding_index, rows)
  const bags = planBags(request)
  if (adapter !== undefined) checkAdapted(adapter, request, dim)
  const { elementType, rowFormat, narrow } = planAnswer(
    dtype,
    options,
    text,
    bags !== null || adapter !== undefined,
  )
  const widen = narrow && text
  const rowCount = bags?.bagCount ?? count
  const gatheredRowBytes = rowFormat === 'stored' ? rowBytes(dim, dtype) : dim * 4
  const gatheredBytes = rowCount * gatheredRowBytes
  const narrowBytes = narrow ? rowCount * dim * 2 : 0
  const answerBytes = narrow && !widen ? narrowBytes : gatheredBytes
  checkAnswerSize(answerBytes, text)
  return {
    mode: options.mode ?? settings.out_of_range,
    fillValue: (options.fill_value === undefined ? settings.fill_value : options.fill_value) ?? NaN,
    count,
    bags,
    shape: bags === null ? [...request.shape, dim] : [rowCount, dim],
    elementType,
    rowFormat,
    gatheredRowBytes,
    narrow,
    widen,
    gatheredBytes,
    answerBytes,
    paddingRow: resolvePaddingRow(
      options.padding_index === undefined ? settings.padding_index : options.padding_index,
      rows,
    ),
    mask: options.mask ?? false,
    ...placeRegions(count, bags, gatheredRowBytes, gatheredBytes, widen ? narrowBytes : 0),
  }
}

/**
 * Refuses BATCH_TOO_LARGE for an answer of more bytes than the limit. Numbers that will be printed count as
 * float32, because hardly any text of them is shorter.
 */
const checkAnswerSize = (byteCount: number, text: boolean): void => {
  const limit = LIMITS.lookupResponseBytesMax
  if (byteCount <= limit) return
  if (text)
    refuse(
      'BATCH_TOO_LARGE',
      `the answer would print ${byteCount / 4} numbers, the limit is ${limit / 4}; ask for a binary type`,
    )
  refuse('BATCH_TOO_LARGE', `the answer would hold ${byteCount} bytes, the limit is ${limit}`)
}

/**
 * Counts the empty lists of a shape with a 0 in it. Such a shape costs a client nothing, but its lists are
 * printed.
 */
const countEmptyLists = (shape: readonly number[]): number =>
  shape.includes(0) ? shape.slice(0, shape.indexOf(0)).reduce((product, length) => product * length, 1) : 0

type Places = Pick<
  LookupPlan,
  'idsAt' | 'offsetsAt' | 'weightsAt' | 'fillAt' | 'rowsAt' | 'narrowAt' | 'regionBytes'
>

/**
 * Places the parts of a lookup one after the other, each on a cache line. Absent parts have no length: rows
 * that stay narrow are narrowed in place.
 */
const placeRegions = (
  count: number,
  bags: BagPlan | null,
  fillBytes: number,
  rowsBytes: number,
  narrowedBytes: number,
): Places => {
  let regionBytes = 0
  const place = (bytes: number): number => {
    const at = regionBytes
    regionBytes += alignUp(bytes)
    return at
  }
  const idsAt = place(count * 4)
  const offsetsAt = place(bags === null ? 0 : bags.offsets.byteLength)
  const weightsAt = place(bags?.weights?.byteLength ?? 0)
  const fillAt = place(fillBytes)
  const rowsAt = place(rowsBytes)
  const narrowAt = narrowedBytes === 0 ? rowsAt : place(narrowedBytes)
  return { idsAt, offsetsAt, weightsAt, fillAt, rowsAt, narrowAt, regionBytes }
}

/** Plans the number formats. Pooled and adapted rows are computed as float32, whatever the table stores. */
const planAnswer = (
  stored: Dtype,
  options: LookupOptions,
  text: boolean,
  computed: boolean,
): { elementType: AnswerType; rowFormat: RowFormat; narrow: boolean } => {
  const requested = options.dtype ?? 'float32'
  const elementType = requested === 'native' ? stored : requested
  if (elementType === 'int8') {
    if (computed)
      refuse(
        'DTYPE_MISMATCH',
        'pooled and adapted rows of an int8 table are answered as float32, float16 or bfloat16',
      )
    return { elementType: 'uint8', rowFormat: 'stored', narrow: false }
  }
  if (computed) return { elementType, rowFormat: 'float32', narrow: elementType !== 'float32' }
  const rowFormat = stored === 'float32' || (stored === elementType && !text) ? 'stored' : 'float32'
  return { elementType, rowFormat, narrow: elementType !== 'float32' && elementType !== stored }
}

/**
 * Refuses requests that an adapter cannot serve: DTYPE_MISMATCH for rows as they are stored, BATCH_TOO_LARGE
 * for more products than one lookup may compute.
 */
export const checkAdapted = (
  { rank }: AdapterHandle,
  { options, indices }: LookupRequest,
  dim: number,
): void => {
  if (options.dtype === 'native') {
    refuse(
      'DTYPE_MISMATCH',
      'the table has a LoRA adapter, which is added in float32: ask for float32, float16 or bfloat16',
      {
        errors: [{ pointer: '/dtype', detail: 'not as stored while an adapter is attached' }],
      },
    )
  }
  const terms = indices.length * dim * rank
  if (terms > LIMITS.adaptedProductCountMax) {
    refuse(
      'BATCH_TOO_LARGE',
      `${indices.length} rows of ${dim} with an adapter of rank ${rank} are ${terms} products, ` +
        `the limit is ${LIMITS.adaptedProductCountMax}`,
    )
  }
}
