/**
 * Plans an upload: the place of the rows in the body, and the type in which they are stored. Everything that
 * header and query alone can show is refused here, before memory is reserved.
 */
import { refuse } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { ELEMENT_BYTES } from '../core/types.ts'
import type { Dtype, ElementType } from '../core/types.ts'
import { describesItself, findFormat, type FormatName, listNamedArrayTypes, RAW } from '../formats/format.ts'
import { quoteText } from '../formats/scanner.ts'
import type { ArrayPlace, LocatedArrays } from '../formats/shape.ts'
import { STATE_PREFIX } from '../optimizers/state-tensors.ts'
import { checkTableShape } from './build.ts'

/** The options of an upload, which the request states beside the body. */
export interface UploadOptions {
  format: FormatName
  /** The storage dtype; by default that of the values. */
  dtype?: Dtype
  /** Rows and dim; only with bare numbers, and required there. */
  rows?: number
  dim?: number
  /** The type of the values; only with bare numbers, float32 by default. */
  inputType?: ElementType
  /** The name of the table's array; only with named arrays, and required when several have two dimensions. */
  tensor?: string
  /** The length of the body, if the client announced it. */
  contentLength?: number
}

/** The place of the rows in the body, and the way they are stored. */
export interface UploadPlan {
  rows: number
  dim: number
  sourceType: ElementType
  dtype: Dtype
  /** The rows are the bytes dataBegin..dataEnd of the body, which has exactly bodyBytes. */
  dataBegin: number
  dataEnd: number
  bodyBytes: number
}

/** Plans bare numbers. Refuses INVALID_REQUEST without rows and dim, and as {@link planArray}. */
export const planRaw = (options: UploadOptions): UploadPlan => {
  const { rows, dim, inputType = 'float32' } = options
  if (rows === undefined || dim === undefined) {
    return refuse(
      'INVALID_REQUEST',
      'raw numbers do not say their shape: give ?rows= and ?dim= (and ?input_dtype= unless float32)',
    )
  }
  checkTableShape(rows, dim)
  const bytes = rows * dim * ELEMENT_BYTES[inputType]
  return finishPlan(options, inputType, [rows, dim], { dataBegin: 0, dataEnd: bytes, bodyBytes: bytes })
}

/**
 * Plans one array. Refuses SHAPE_MISMATCH unless it is a table, DTYPE_MISMATCH for numbers that no table
 * stores unless the options name a dtype, MALFORMED_BODY when the announced length differs, and
 * INVALID_REQUEST for options of other formats.
 */
export const planArray = (
  { array, bodyBytes }: { array: ArrayPlace; bodyBytes: number },
  options: UploadOptions,
): UploadPlan => {
  const { elementType, shape, begin, end } = array
  return finishPlan(options, elementType, shape, { dataBegin: begin, dataEnd: end, bodyBytes })
}

/**
 * Plans one of several arrays. Refuses as {@link planArray}, and with INVALID_REQUEST, which lists the names,
 * when the options do not decide on one. Arrays of optimizer state become tables only by name.
 */
export const planNamedArray = ({ arrays, bodyBytes }: LocatedArrays, options: UploadOptions): UploadPlan => {
  const name = options.tensor ?? chooseArray(arrays)
  const array =
    arrays.get(name) ??
    refuse(
      'INVALID_REQUEST',
      `the body has no array ${quoteText(name)}; it has ${listNames([...arrays.keys()])}`,
    )
  return planArray({ array, bodyBytes }, options)
}

const chooseArray = (arrays: LocatedArrays['arrays']): string => {
  const names = [...arrays]
    .filter(([name, { shape }]) => shape.length === 2 && !name.startsWith(STATE_PREFIX))
    .map(([name]) => name)
  if (names.length === 1) return names[0]
  if (names.length > 1)
    return refuse(
      'INVALID_REQUEST',
      `the body has several arrays of two dimensions: give ?tensor= one of ${listNames(names)}`,
    )
  return refuse(
    'SHAPE_MISMATCH',
    `a table has two dimensions; of the arrays in the body none has: ${listNames([...arrays.keys()])}`,
  )
}

/** Lists names in quotes, for messages. Only the first of very many are listed. */
export const listNames = (names: readonly string[]): string => {
  const shown = names.slice(0, LIMITS.errorPlacesMax).map(quoteText).join(', ')
  return names.length === 0
    ? 'none'
    : names.length > LIMITS.errorPlacesMax
      ? `${shown} and ${names.length - LIMITS.errorPlacesMax} more`
      : shown
}

const finishPlan = (
  options: UploadOptions,
  sourceType: ElementType,
  shape: readonly number[],
  place: Pick<UploadPlan, 'dataBegin' | 'dataEnd' | 'bodyBytes'>,
): UploadPlan => {
  checkOptions(options)
  if (shape.length !== 2) {
    refuse(
      'SHAPE_MISMATCH',
      `a table has two dimensions, rows and dim; the data has shape [${shape.join(',')}]`,
    )
  }
  const [rows, dim] = shape
  checkTableShape(rows, dim)
  const dtype = options.dtype ?? storageDtype(sourceType)
  const { contentLength } = options
  if (contentLength !== undefined && contentLength !== place.bodyBytes) {
    refuse(
      'MALFORMED_BODY',
      `${describeSize(sourceType, shape, place.bodyBytes)}, the body is announced with ${contentLength}`,
    )
  }
  return { rows, dim, sourceType, dtype, ...place }
}

/** Describes how many bytes the body must have, and why, for messages. */
export const describeSize = (sourceType: ElementType, shape: readonly number[], bodyBytes: number): string =>
  `with ${sourceType} of shape [${shape.join(',')}] the body must have ${bodyBytes} bytes`

/** Refuses (INVALID_REQUEST) options of other formats, because they would be ignored. */
export const checkOptions = ({ format, rows, dim, inputType, tensor }: UploadOptions): void => {
  const row = findFormat(format)
  if (describesItself(row) && (rows !== undefined || dim !== undefined || inputType !== undefined)) {
    refuse(
      'INVALID_REQUEST',
      `${format} carries its shape and dtype: rows, dim and input_dtype belong to ${RAW.mediaType}`,
    )
  }
  if (row.carries !== 'named arrays' && tensor !== undefined) {
    refuse('INVALID_REQUEST', `tensor belongs to ${listNamedArrayTypes()}: other bodies hold one array`)
  }
}

const storageDtype = (sourceType: ElementType): Dtype => {
  switch (sourceType) {
    case 'float32':
    case 'float16':
    case 'bfloat16':
      return sourceType
    case 'float64':
      return 'float32'
    default:
      return refuse(
        'DTYPE_MISMATCH',
        `${sourceType} is not how tables are stored: give ?dtype=float32 (or float16, bfloat16, int8)`,
      )
  }
}
