/**
 * Converts the nested number arrays of a JSON body to indices or float32, and reports the places of numbers
 * that do not fit.
 */
import { assert } from '../core/assert.ts'
import { type ErrorCode, type ErrorPlace, refuse } from '../core/errors.ts'
import { fitsFloat32 } from '../core/types.ts'
import { LIMITS } from '../core/limits.ts'
import { pointerTo } from '../core/pointers.ts'

/** Nested number arrays as one flat array of numbers. */
export interface JsonTensor {
  /**
   * Row-major, in memory that belongs to the caller. A Float32Array only if the reader was told to round and
   * all values are finite.
   */
  values: Float64Array | Float32Array
  /** `[]` for a bare number. */
  shape: number[]
  /** The length of each row, when the rows of rank 2 differ in length. The shape is [rows, -1] then. */
  lengths?: Int32Array
}

/** The most numbers that a tensor may have. `reason` is put behind the message of a refusal. */
export interface CountLimit {
  countMax: number
  reason?: string
}

/** Refuses (BATCH_TOO_LARGE) the tensor at `pointer`, which has more numbers than its limit. */
export const refuseCount = (pointer: string, { countMax, reason = '' }: CountLimit): never => {
  const detail = `${pointer} has more than ${countMax} numbers${reason}`
  return refuse('BATCH_TOO_LARGE', detail, { errors: [{ pointer, detail }] })
}

/** Refuses the values that `explain` explains, with pointers to the first of them. */
const refuseValues = (
  code: ErrorCode,
  detail: string,
  tensor: JsonTensor,
  pointer: string,
  explain: (value: number) => string | undefined,
): never => {
  const errors: ErrorPlace[] = []
  const { values } = tensor
  for (let position = 0; position < values.length && errors.length < LIMITS.errorPlacesMax; position += 1) {
    const explanation = explain(values[position])
    if (explanation !== undefined)
      errors.push({
        pointer: pointer + pointerTo(position, tensor.shape, tensor.lengths),
        detail: explanation,
      })
  }
  return refuse(code, `${detail}: ${errors[0].detail} at ${errors[0].pointer}`, { errors })
}

const explainIndex = (value: number): string | undefined => {
  if (Number.isSafeInteger(value)) return undefined
  return Number.isInteger(value) || !Number.isFinite(value)
    ? 'an integer beyond 2^53 - 1 is not exactly representable, send a binary format'
    : `expected an integer, got ${value}`
}

/**
 * Returns the values as indices, in the tensor's own array: integers (3.0 is one) from -(2^53 - 1) to 2^53 -
 * 1. Refuses INVALID_REQUEST with the places of all others, because larger JSON numbers were rounded when
 * they were read.
 */
export const toIndexArray = (tensor: JsonTensor, pointer: string): Float64Array => {
  const { values } = tensor
  assert(values instanceof Float64Array, 'indices are read as float64')
  for (let position = 0; position < values.length; position += 1) {
    if (!Number.isSafeInteger(values[position]))
      refuseValues('INVALID_REQUEST', 'not an index', tensor, pointer, explainIndex)
  }
  return values
}

const explainFloat32 = (value: number): string | undefined => {
  if (fitsFloat32(value)) return undefined
  return `${Number.isFinite(value) ? value : 'the number'} is too large for float32`
}

/**
 * Returns the values rounded to float32, half to even. Refuses NON_FINITE with the places of those that are
 * too large; JSON has no NaN.
 */
export const toFloat32 = (tensor: JsonTensor, pointer: string): Float32Array => {
  if (tensor.values instanceof Float32Array) return tensor.values
  const rounded = new Float32Array(tensor.values)
  for (let position = 0; position < rounded.length; position += 1) {
    if (!Number.isFinite(rounded[position]))
      refuseValues('NON_FINITE', 'not finite', tensor, pointer, explainFloat32)
  }
  return rounded
}
