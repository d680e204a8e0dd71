/** An update in the form in which the writer receives it, and the places of its arrays. */
import type { Arena } from '../../tables/arena.ts'
import { type UpdateSource, openOwnUpdateSource } from './update-source.ts'
import type { ArrayPlaces, UpdateArguments, UpdateHead } from '../protocol.ts'

/** The places from which the kernels read the arrays of an update. */
export interface PlacedUpdateSource extends ArrayPlaces {
  updateSource: UpdateSource
}

/** An update whose arrays lie in an update source. */
export interface ShownUpdate extends UpdateHead {
  source: PlacedUpdateSource
}

/** An update as the writer receives it: with arrays of its own, or with arrays in an update source. */
export type WriterUpdate = UpdateArguments | ShownUpdate

/** Returns the number of indices of an update. */
export const countIndices = (update: WriterUpdate): number =>
  'source' in update ? update.source.indexCount : update.indices.length

/** Returns the number of values of an update. */
export const countValues = (update: WriterUpdate): number =>
  'source' in update ? update.source.valueCount : update.values.length

/** Makes a view of the indices, for error messages. */
export const viewIndices = (update: WriterUpdate): Int32Array => {
  if (!('source' in update)) return update.indices
  const { updateSource, indicesAt, indexCount } = update.source
  return updateSource.int32.subarray(indicesAt / 4, indicesAt / 4 + indexCount)
}

/** Makes a view of the values, for error messages. */
export const viewValues = (update: WriterUpdate): Float32Array => {
  if (!('source' in update)) return update.values
  const { updateSource, valuesAt, valueCount } = update.source
  return updateSource.float32.subarray(valuesAt / 4, valuesAt / 4 + valueCount)
}

/** Returns the number of bytes of the arena that {@link placeSource} needs. */
export const copiedBytes = (update: WriterUpdate): number =>
  'source' in update ? 0 : update.indices.byteLength + update.values.byteLength

/**
 * Returns the places of the arrays: in their update source, or from `at` on in the arena, to which they are
 * copied.
 */
export const placeSource = (arena: Arena, update: WriterUpdate, at: number): PlacedUpdateSource => {
  if ('source' in update) return update.source
  const { indices, values } = update
  const valuesAt = at + indices.byteLength
  arena.int32.set(indices, at / 4)
  // Buffer.copy is used because the `set` of a typed array into shared memory is several times slower.
  Buffer.from(values.buffer, values.byteOffset, values.byteLength).copy(arena.bytes, valuesAt)
  return {
    updateSource: openOwnUpdateSource(arena),
    indicesAt: at,
    indexCount: indices.length,
    valuesAt,
    valueCount: values.length,
  }
}
