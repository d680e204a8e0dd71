/** Merges the adapter of a table into its rows. */
import { setImmediate } from 'node:timers/promises'
import { refuse } from '../core/errors.ts'
import type { Precondition } from '../core/types.ts'
import { alignUp } from '../layout/cache-lines.ts'
import { adaptedBlockRows, adaptRows, FACTOR_SCRATCH_BYTES, type TableAdapter } from '../tables/adapter.ts'
import type { Arena } from '../tables/arena.ts'
import { gatherRows } from '../tables/gather.ts'
import { checkPrecondition, entityTag } from '../tables/precondition.ts'
import type { TableEntry } from '../tables/registry.ts'
import type { TableReader } from '../tables/table-reader.ts'
import type { SegmentHandle } from '../tables/handles.ts'
import { bindBuild, type BuildKey, type BuiltTable, buildTable, type WriterConnection } from './build.ts'
import { refuseNonFinite, RowLoader } from './row-loader.ts'

export interface MergeRequest {
  precondition: Precondition
  key?: BuildKey | undefined
  /** Called between slices; throws when nobody waits for the merge any more. */
  checkWanted?: () => void
}

/** Bytes that are merged before the event loop runs other work. */
const SLICE_BYTES = 256 * 1024

/**
 * Makes a version of the rows that lookups answer now, adapter included, rounded to the storage dtype as an
 * upload is. It has the settings of the table, no adapter and no optimizer state. The version before keeps
 * its rows and its adapter. Refuses PRECONDITION_FAILED without an adapter and when the table changes
 * meanwhile, MEMORY_QUOTA_EXCEEDED, and NON_FINITE where a sum is too large for the dtype.
 */
export const mergeAdapter = async (
  writer: WriterConnection,
  arena: Arena,
  entry: TableEntry,
  { precondition, key, checkWanted = () => {} }: MergeRequest,
): Promise<BuiltTable> => {
  const { current, record, adapters } = entry
  const { version, rows, dim, dtype } = current.handle
  const adapter =
    adapters.get(version) ??
    refuse('PRECONDITION_FAILED', 'the table has no LoRA adapter that could be merged')
  const sequence = current.readSequence()
  checkPrecondition(precondition, { name: record.name, version, sequence, revision: record.revision })
  // The version that was read must still be current when it is replaced. Its rows do not change while it has
  // an adapter.
  const unchanged = { ifMatch: [entityTag(version, sequence)] }
  const pinned = [current, adapter.factors]
  for (const one of pinned) one.pin()
  const unpin = () => {
    for (const one of pinned.splice(0)) one.unpin()
  }
  try {
    const begin = {
      name: record.name,
      rows,
      dim,
      dtype,
      settings: {},
      precondition: unchanged,
      adapterKey: adapter.handle.key,
    }
    const fill = async (segments: readonly SegmentHandle[]): Promise<number> => {
      const writer = new RowLoader(arena, segments, { dim, sourceType: 'float32', dtype })
      try {
        await writeMerged(arena, writer, current, adapter, checkWanted)
      } finally {
        writer.close()
        // The pins end before the commit, which may wait for a change of the table that waits for the last
        // reader of the adapter.
        unpin()
      }
      refuseNonFinite(writer.firstNonFinite, { dim, dtype }, (row, column) => `/rows/${row}/${column}`)
      return 0
    }
    return await buildTable(writer, begin, fill, () => bindBuild(key, () => null))
  } finally {
    unpin()
  }
}

const writeMerged = async (
  arena: Arena,
  writer: RowLoader,
  current: TableReader,
  adapter: TableAdapter,
  checkWanted: () => void,
): Promise<void> => {
  const { rows, dim } = current.handle
  const blockRows = Math.min(
    adaptedBlockRows(adapter.handle, dim),
    Math.max(1, Math.floor(SLICE_BYTES / (dim * 4))),
  )
  const idBytes = alignUp(blockRows * 4)
  const region = arena.reserve(idBytes + FACTOR_SCRATCH_BYTES + blockRows * dim * 4)
  const idsAt = region.at
  const factorsAt = idsAt + idBytes
  const rowsAt = factorsAt + FACTOR_SCRATCH_BYTES
  try {
    for (let first = 0; first < rows; first += blockRows) {
      if (first > 0) await setImmediate()
      checkWanted()
      // The merge stops early, because a request that removes the adapter waits for its readers.
      if (adapter.factors.isRetired)
        refuse('PRECONDITION_FAILED', 'the adapter was replaced or deleted while it was being merged')
      const count = Math.min(blockRows, rows - first)
      for (let i = 0; i < count; i++) arena.int32[idsAt / 4 + i] = first + i
      gatherRows(current, arena.memory, { format: 'float32', idsAt, count, outAt: rowsAt, fillAt: 0 })
      adaptRows(adapter, arena.memory, { idsAt, count, rowsAt, dim, factorsAt })
      const byteCount = count * dim * 4
      const isReady = writer.prepare(byteCount)
      if (isReady !== null) await isReady
      writer.write(arena.bytes.subarray(rowsAt, rowsAt + byteCount))
    }
  } finally {
    arena.release(region)
  }
}
