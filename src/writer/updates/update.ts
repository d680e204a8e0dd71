import type { Arena } from '../../tables/arena.ts'
import { type Inbox, openOwnInbox } from './update-source.ts'
import type { ArrayPlaces, UpdateArguments, UpdateHead } from '../protocol.ts'

/** Where the kernels read the arrays of an update. */
export interface UpdateSource extends ArrayPlaces {
  inbox: Inbox
}

/** An update whose arrays lie in an inbox. */
export interface ShownUpdate extends UpdateHead {
  source: UpdateSource
}

/** An update as the keeper takes it. */
export type KeeperUpdate = UpdateArguments | ShownUpdate

/** How many indices an update has. */
export const countIndices = (update: KeeperUpdate): number => ('source' in update ? update.source.indexCount : update.indices.length)

/** How many values. */
export const countValues = (update: KeeperUpdate): number => ('source' in update ? update.source.valueCount : update.values.length)

/** A view of its indices, for saying what is wrong with them. */
export const viewIndices = (update: KeeperUpdate): Int32Array => {
  if (!('source' in update)) return update.indices
  const { inbox, indicesAt, indexCount } = update.source
  return inbox.int32.subarray(indicesAt / 4, indicesAt / 4 + indexCount)
}

/** A view of its values. */
export const viewValues = (update: KeeperUpdate): Float32Array => {
  if (!('source' in update)) return update.values
  const { inbox, valuesAt, valueCount } = update.source
  return inbox.float32.subarray(valuesAt / 4, valuesAt / 4 + valueCount)
}

/** Bytes of the arena that {@link placeSource} needs. */
export const copiedBytes = (update: KeeperUpdate): number => ('source' in update ? 0 : update.indices.byteLength + update.values.byteLength)

/** Where its arrays are: where they were shown, or at `at` of the arena, to which they are copied. */
export const placeSource = (arena: Arena, update: KeeperUpdate, at: number): UpdateSource => {
  if ('source' in update) return update.source
  const { indices, values } = update
  const valuesAt = at + indices.byteLength
  arena.int32.set(indices, at / 4)
  // The copy of a Buffer: a typed array's `set` into shared memory is several times slower.
  Buffer.from(values.buffer, values.byteOffset, values.byteLength).copy(arena.bytes, valuesAt)
  return { inbox: openOwnInbox(arena), indicesAt: at, indexCount: indices.length, valuesAt, valueCount: values.length }
}
