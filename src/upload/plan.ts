import { refuse } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { ELEMENT_BYTES } from '../core/types.ts'
import type { Dtype, ElementType } from '../core/types.ts'
import type { NpyHeader } from '../formats/npy.ts'
import type { SafetensorsHeader } from '../formats/safetensors.ts'
import { quoteText } from '../formats/scanner.ts'
import { STATE_PREFIX } from '../optimizers/state-tensors.ts'
import { checkTableShape } from './build.ts'

export type UploadFormat = 'raw' | 'npy' | 'safetensors'

/** What the request says beside the body. */
export interface UploadOptions {
  format: UploadFormat
  /** How values are to be stored; default as they come. */
  dtype?: Dtype
  /** Only with raw, and needed there. */
  rows?: number
  dim?: number
  /** Only with raw; float32 by default. */
  inputType?: ElementType
  /** Only with safetensors: which array; needed when more than one has two dimensions. */
  tensor?: string
  /** What the client announced, if it did. */
  contentLength?: number
}

/** Where in the body the rows are, and what becomes of them. */
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

/** Plans numbers without a header. INVALID_REQUEST without rows and dim, and as {@link planNpy}. */
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
 * Plans the array of an npy body. SHAPE_MISMATCH unless it is a table; DTYPE_MISMATCH when it must be said how to store it;
 * MALFORMED_BODY when the announced length is another; INVALID_REQUEST for options of other formats.
 */
export const planNpy = (header: NpyHeader, options: UploadOptions): UploadPlan => {
  const bodyBytes = header.dataAt + header.dataBytes
  return finishPlan(options, header.elementType, header.shape, {
    dataBegin: header.dataAt,
    dataEnd: bodyBytes,
    bodyBytes,
  })
}

/**
 * Plans one array of a safetensors body. As {@link planNpy}; INVALID_REQUEST, with the names there are, when it is open which. Arrays of
 * optimizer state are taken for tables only by name.
 */
export const planSafetensors = (header: SafetensorsHeader, options: UploadOptions): UploadPlan => {
  const { tensors, dataAt } = header
  const name = options.tensor ?? chooseTensor(tensors)
  const place =
    tensors.get(name) ??
    refuse(
      'INVALID_REQUEST',
      `the body has no array ${quoteText(name)}; it has ${listNames([...tensors.keys()])}`,
    )
  let dataBytes = 0
  for (const { end } of tensors.values()) dataBytes = Math.max(dataBytes, end)
  return finishPlan(options, place.elementType, place.shape, {
    dataBegin: dataAt + place.begin,
    dataEnd: dataAt + place.end,
    bodyBytes: dataAt + dataBytes,
  })
}

const chooseTensor = (tensors: SafetensorsHeader['tensors']): string => {
  const names = [...tensors]
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
    `a table has two dimensions; of the arrays in the body none has: ${listNames([...tensors.keys()])}`,
  )
}

/** Names in quotes, for messages; not all of very many. */
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

/** How many bytes the body must have, and why, for messages. */
export const describeSize = (sourceType: ElementType, shape: readonly number[], bodyBytes: number): string =>
  `with ${sourceType} of shape [${shape.join(',')}] the body must have ${bodyBytes} bytes`

/** Refuses INVALID_REQUEST for options of other formats: they would be ignored. */
export const checkOptions = ({ format, rows, dim, inputType, tensor }: UploadOptions): void => {
  if (format !== 'raw' && (rows !== undefined || dim !== undefined || inputType !== undefined)) {
    refuse(
      'INVALID_REQUEST',
      `${format} carries its shape and dtype: rows, dim and input_dtype belong to application/octet-stream`,
    )
  }
  if (format !== 'safetensors' && tensor !== undefined) {
    refuse('INVALID_REQUEST', 'tensor belongs to application/x-safetensors: other bodies hold one array')
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
