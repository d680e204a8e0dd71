import { refuse } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { Precondition } from '../core/types.ts'
import { type IndexArray, pointerTo, resolveRows } from '../tables/resolve.ts'
import type { TableEntry } from '../tables/registry.ts'
import type { UpdateArguments } from './protocol.ts'

/** The arrays of an update as they came. `valuesName` is what the request calls the values, for naming places. */
export interface UpdateArrays {
  indices: IndexArray
  shape: readonly number[]
  values: Float32Array
  valuesShape: readonly number[]
  valuesName: 'gradients' | 'values'
}

/**
 * Checks an update against the table as this front knows it, and makes the call to the keeper, which checks the state again.
 * Refuses BATCH_TOO_LARGE, DTYPE_MISMATCH, SHAPE_MISMATCH, INDEX_OUT_OF_RANGE, NON_FINITE.
 */
export const planUpdate = (
  entry: TableEntry,
  arrays: UpdateArrays,
  how: { operation: UpdateArguments['operation']; learningRate?: number; precondition: Precondition; deadlineAt?: number },
): UpdateArguments => {
  const { indices, shape, values, valuesShape, valuesName } = arrays
  const { rows, dim, dtype } = entry.current.handle
  if (dtype === 'int8') refuse('DTYPE_MISMATCH', 'int8 tables take no updates; keep a table to be trained as float32, float16 or bfloat16')
  if (indices.length > LIMITS.updateRowCountMax) {
    refuse('BATCH_TOO_LARGE', `${indices.length} rows in one update, the limit is ${LIMITS.updateRowCountMax}`)
  }
  const wanted = [...shape, dim]
  // An empty list carries no dim of its own: [] goes with [].
  const empty = indices.length === 0 && values.length === 0
  if (!empty && (wanted.length !== valuesShape.length || wanted.some((size, axis) => size !== valuesShape[axis]))) {
    refuse(
      'SHAPE_MISMATCH',
      `${valuesName} must have the shape of the indices and ${dim} columns, [${wanted}]; they have [${valuesShape}]`,
      {
        errors: [{ pointer: `/${valuesName}`, detail: `expected shape [${wanted}], got [${valuesShape}]` }],
      },
    )
  }
  const resolved = new Int32Array(indices.length)
  resolveRows(indices, shape, resolved, rows, 'error')
  checkFinite(values, valuesShape, valuesName)
  return { name: entry.record.name, indices: resolved, values, ...how }
}

const EXPONENT = 0x7f80_0000

const checkFinite = (values: Float32Array, shape: readonly number[], name: string): void => {
  const bits = new Int32Array(values.buffer, values.byteOffset, values.length)
  for (let i = 0; i < bits.length; i++) {
    if ((bits[i] & EXPONENT) !== EXPONENT) continue
    const pointer = `/${name}${pointerTo(i, shape)}`
    refuse('NON_FINITE', `${pointer} is ${values[i]}`, { errors: [{ pointer, detail: 'must be finite' }] })
  }
}
