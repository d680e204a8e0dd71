/** Plans int8 rows that arrive as they are stored, in one array or in three. */
import { refuse } from '../core/errors.ts'
import type { ArrayPlace, LocatedArrays } from '../formats/shape.ts'
import { INT8_SUFFIX_BYTES, int8BiasAt, int8ScaleAt } from '../layout/table-layout.ts'
import { finishPlan, type StoredPart, type UploadOptions, type UploadPlan } from './finish-plan.ts'

/** Plans one array of int8 rows with their scales and biases. */
export const planStoredRows = (
  { elementType, shape, begin, end, isColumnOrder = false }: ArrayPlace,
  bodyBytes: number,
  options: UploadOptions,
): UploadPlan => {
  const width = shape[1]
  if (elementType !== 'uint8' || shape.length !== 2 || width <= INT8_SUFFIX_BYTES || isColumnOrder) {
    refuse(
      'SHAPE_MISMATCH',
      'int8_rows are uint8 of shape [rows, dim + 8], row by row: dim bytes, float32 scale, float32 bias; ' +
        `the data is ${elementType} of shape [${shape.join(',')}]`,
    )
  }
  const [rows, dim] = [shape[0], width - INT8_SUFFIX_BYTES]
  const storedParts = [{ begin, end, from: 0, width }]
  return planStored(options, { rows, dim, bodyBytes, storedParts })
}

/**
 * Plans int8 rows whose parts are three arrays, as an export gives them. Returns undefined for a body that is
 * anything else.
 */
export const planStoredArrays = (
  { arrays, bodyBytes }: LocatedArrays,
  options: UploadOptions,
): UploadPlan | undefined => {
  const [bytes, scale, bias] = ['embeddings', 'scale', 'bias'].map((name) => arrays.get(name))
  if (bytes?.elementType !== 'uint8' || bytes.shape.length !== 2) return undefined
  if ((options.tensor ?? 'embeddings') !== 'embeddings') return undefined
  const [rows, dim] = bytes.shape
  const isPart = (array: ArrayPlace | undefined): array is ArrayPlace =>
    array?.elementType === 'float32' && array.shape.join() === String(rows)
  if (!isPart(scale) || !isPart(bias)) return undefined
  const toPart = ({ begin, end }: ArrayPlace, from: number, width: number): StoredPart => ({
    begin,
    end,
    from,
    width,
  })
  const storedParts = [
    toPart(scale, int8ScaleAt(dim), 4),
    toPart(bias, int8BiasAt(dim), 4),
    toPart(bytes, 0, dim),
  ]
  return planStored(options, { rows, dim, bodyBytes, storedParts })
}

const planStored = (
  options: UploadOptions,
  {
    rows,
    dim,
    bodyBytes,
    storedParts,
  }: Pick<UploadPlan, 'rows' | 'dim' | 'bodyBytes'> & { storedParts: StoredPart[] },
): UploadPlan => {
  if ((options.dtype ?? 'int8') !== 'int8') {
    refuse(
      'DTYPE_MISMATCH',
      `the body has int8 rows with a scale and a bias each, which are stored as int8 only: leave ` +
        `dtype=${options.dtype} out`,
    )
  }
  const place = { dataBegin: 0, dataEnd: 0, bodyBytes }
  const plan = finishPlan({ ...options, dtype: 'int8' }, 'uint8', [rows, dim], place)
  return { ...plan, storedParts }
}
