/** The terms of the plan of an upload, and the checks that every plan ends with. */
import { refuse } from '../core/errors.ts'
import type { Dtype, ElementType } from '../core/types.ts'
import { describesItself, findFormat, type FormatName, listNamedArrayTypes, RAW } from '../formats/format.ts'
import type { Arrangement, ByteRange } from '../formats/shape.ts'
import { checkTableShape } from './build.ts'

/** The types of values in an upload; `int8_rows` are rows as int8 tables store them. */
export type InputType = ElementType | 'int8_rows'

/** The options of an upload, which the request states beside the body. */
export interface UploadOptions {
  format: FormatName
  /** The storage dtype; by default that of the values. */
  dtype?: Dtype
  /** Rows and dim; only with bare numbers, and required there. */
  rows?: number
  dim?: number
  /** The type of the values; only with bare numbers, float32 by default. `int8_rows` with any format. */
  inputType?: InputType
  /** The name of the table's array; only with named arrays, and required when several have two dimensions. */
  tensor?: string
  /** The length of the body, if the client announced it. */
  contentLength?: number
}

/** A part of stored int8 rows in a body: the bytes `from`..`from + width` of each row. */
export interface StoredPart extends ByteRange {
  from: number
  width: number
}

/** The place of the rows in the body, and the way they are stored. */
export interface UploadPlan extends Arrangement {
  rows: number
  dim: number
  sourceType: ElementType
  dtype: Dtype
  /** The parts of int8 rows that arrive as they are stored. Without it the numbers are converted. */
  storedParts?: StoredPart[]
  /** The rows are the bytes dataBegin..dataEnd of the body, which has exactly bodyBytes. */
  dataBegin: number
  dataEnd: number
  bodyBytes: number
}

/**
 * Completes a plan. Refuses SHAPE_MISMATCH unless the shape is that of a table, DTYPE_MISMATCH for numbers
 * that no table stores unless the options name a dtype, MALFORMED_BODY when the announced length differs,
 * and INVALID_REQUEST for options of other formats.
 */
export const finishPlan = (
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
  const isTyped = inputType !== undefined && inputType !== 'int8_rows'
  if (describesItself(row) && (rows !== undefined || dim !== undefined || isTyped)) {
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
        `${sourceType} is not how tables are stored: give ?dtype=float32 (or float16, bfloat16, int8)` +
          (sourceType === 'uint8'
            ? '; int8 rows that end with their scale and bias need ?input_dtype=int8_rows'
            : ''),
      )
  }
}
