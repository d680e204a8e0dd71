/*
 * Nested number arrays of a JSON body, after they were read: their places for errors, and their numbers as
 * indices or float32.
 */
import { assert } from '../core/assert.ts'
import { refuse } from '../core/errors.ts'
import type { ErrorCode, ErrorPlace } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'

/** Nested number arrays, as one run of numbers. */
export interface JsonTensor {
  /**
   * Row-major, and the caller's own. Float32 only when the reader was asked for it and all of them are
   * finite.
   */
  values: Float64Array | Float32Array
  /** `[]` for a bare number. */
  shape: number[]
  /** The length of each row, when the rows of rank 2 differ in length. The shape is [rows, -1] then. */
  lengths?: Int32Array
}

/** Escapes a member name for an RFC 6901 pointer. */
export const escapePointer = (name: string): string =>
  name.includes('~') || name.includes('/') ? name.replaceAll('~', '~0').replaceAll('/', '~1') : name

/** Makes the pointer to the value at a flat position of a tensor that is at `pointer`: `/indices/3/1`. */
export const pointerAt = (tensor: JsonTensor, pointer: string, position: number): string => {
  if (tensor.lengths !== undefined) {
    let row = 0
    let column = position
    for (; column >= tensor.lengths[row]; row += 1) column -= tensor.lengths[row]
    return `${pointer}/${row}/${column}`
  }
  let path = ''
  let rest = position
  for (let axis = tensor.shape.length - 1; axis >= 0; axis -= 1) {
    path = `/${rest % tensor.shape[axis]}${path}`
    rest = Math.floor(rest / tensor.shape[axis])
  }
  return pointer + path
}

/** Refuses the values that `explain` objects to, with pointers to the first of them. */
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
      errors.push({ pointer: pointerAt(tensor, pointer, position), detail: explanation })
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
 * Returns the values as indices: integers (3.0 is one) between -(2^53 - 1) and 2^53 - 1, in the tensor's own
 * array. Refuses INVALID_REQUEST with the places of all others: larger JSON numbers were rounded when they
 * were read.
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
  if (Number.isFinite(Math.fround(value))) return undefined
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
