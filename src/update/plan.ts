/** Plans an update: checks it against the table, and puts its arrays where the writer can read them. */
import { refuse } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { IndexArray } from '../core/types.ts'
import { alignUp } from '../layout/cache-lines.ts'
import type { Arena, Region } from '../tables/arena.ts'
import { resolveRows } from '../tables/resolve.ts'
import type { TableEntry } from '../tables/registry.ts'
import type { UpdateRef, UpdateHead } from '../writer/protocol.ts'

/**
 * A call to the writer. The arrays of the update lie in `region` of the arena until the answer has arrived.
 */
export interface UpdateMessage {
  call: UpdateRef
  region: Region
}

/** The decoded arrays of an update. Errors call the values by `valuesName`, as the request does. */
export interface UpdateArrays {
  indices: IndexArray
  shape: readonly number[]
  values: Float32Array
  valuesShape: readonly number[]
  valuesName: 'gradients' | 'values'
}

/**
 * Checks an update against the table as this HTTP worker knows it, and makes the call to the writer, which
 * checks the state again, and the values. Row numbers and values are put into shared memory, because
 * transferred buffers would have to be allocated and collected for each update. Refuses BATCH_TOO_LARGE,
 * DTYPE_MISMATCH, SHAPE_MISMATCH, INDEX_OUT_OF_RANGE, OVERLOADED.
 */
export const planUpdate = (
  entry: TableEntry,
  arrays: UpdateArrays,
  options: Omit<UpdateHead, 'name' | 'shape'>,
  arena: Arena,
): UpdateMessage => {
  const { indices, shape, values } = arrays
  checkShapes(entry, arrays)
  const idBytes = alignUp(indices.length * 4)
  // The values of a body that was received in the arena are already in place.
  const isInPlace = values.buffer === arena.memory.buffer
  const region = arena.reserve(idBytes + (isInPlace ? 0 : values.byteLength))
  try {
    const rows = arena.int32.subarray(region.at / 4, region.at / 4 + indices.length)
    resolveRows(indices, shape, rows, entry.current.handle.rows, 'error')
    if (!isInPlace) copyValues(arena, values, region.at + idBytes)
    const valuesAt = isInPlace ? values.byteOffset : region.at + idBytes
    const places = { indicesAt: region.at, indexCount: indices.length, valuesAt, valueCount: values.length }
    return { call: { name: entry.record.name, places, shape: [...shape], ...options }, region }
  } catch (error) {
    arena.release(region)
    throw error
  }
}

/** Copies by Buffer, because the `set` of a typed array into shared memory is several times slower. */
const copyValues = (arena: Arena, values: Float32Array, at: number): void => {
  Buffer.from(values.buffer, values.byteOffset, values.byteLength).copy(arena.bytes, at)
}

const checkShapes = (
  entry: TableEntry,
  { indices, shape, values, valuesShape, valuesName }: UpdateArrays,
): void => {
  const { dim, dtype } = entry.current.handle
  if (dtype === 'int8')
    refuse(
      'DTYPE_MISMATCH',
      'int8 tables take no updates; keep a table to be trained as float32, float16 or bfloat16',
    )
  if (indices.length > LIMITS.updateRowCountMax) {
    refuse(
      'BATCH_TOO_LARGE',
      `${indices.length} rows in one update, the limit is ${LIMITS.updateRowCountMax}`,
    )
  }
  const expected = [...shape, dim]
  // An empty list states no dim, so [] fits [].
  const empty = indices.length === 0 && values.length === 0
  if (
    empty ||
    (expected.length === valuesShape.length && expected.every((size, axis) => size === valuesShape[axis]))
  )
    return
  refuse(
    'SHAPE_MISMATCH',
    `${valuesName} must have the shape of the indices and ${dim} columns, [${expected}]; ` +
      `they have [${valuesShape}]`,
    {
      errors: [{ pointer: `/${valuesName}`, detail: `expected shape [${expected}], got [${valuesShape}]` }],
    },
  )
}
