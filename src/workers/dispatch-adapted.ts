/**
 * Adds a low-rank adapter to gathered or pooled rows on the HTTP worker itself, in time slices so that long
 * work does not block its event loop.
 */
import { setImmediate } from 'node:timers/promises'
import {
  type AdaptJob,
  adaptedBlockRows,
  adaptInBlocks,
  adaptRows,
  FACTOR_SCRATCH_BYTES,
  type TableAdapter,
} from '../tables/adapter.ts'
import type { Arena, Region } from '../tables/arena.ts'
import { BAG_SCRATCH_BYTES, type BagJob, poolInBlocks } from '../tables/bags.ts'
import type { TableReader } from '../tables/table-reader.ts'

/** The length of a time slice; after it, the event loop runs other work of the thread. */
const SLICE_MS = 2

/**
 * Adds an adapter to gathered float32 rows on this thread, in time slices. Returns nothing if it finishes
 * within the first slice, else a promise; until that settles, the caller keeps the rows' region of the arena
 * reserved. Refuses OVERLOADED if the arena has no space.
 */
export const dispatchAdapted = (
  adapter: TableAdapter,
  arena: Arena,
  job: Omit<AdaptJob, 'factorsAt'>,
): void | Promise<void> =>
  runInSlices(arena, [FACTOR_SCRATCH_BYTES], [adapter.factors], ([factors]) =>
    adaptInBlocks(adapter, arena.memory, { ...job, factorsAt: factors.at }),
  )

/** Pools adapted rows; otherwise like {@link dispatchAdapted}. */
export const dispatchAdaptedBags = (
  reader: TableReader,
  adapter: TableAdapter,
  arena: Arena,
  job: Omit<BagJob, 'kind' | 'scratchAt'>,
): void | Promise<void> => {
  const { dim } = reader.handle
  return runInSlices(
    arena,
    [BAG_SCRATCH_BYTES, FACTOR_SCRATCH_BYTES],
    [reader, adapter.factors],
    ([scratch, factors]) =>
      poolInBlocks(
        reader,
        arena.memory,
        { ...job, kind: 'bags', scratchAt: scratch.at },
        {
          rowsMax: adaptedBlockRows(adapter.handle, dim),
          change: (rows) => adaptRows(adapter, arena.memory, { ...rows, dim, factorsAt: factors.at }),
        },
      ),
  )
}

/**
 * Runs the blocks that `begin` creates. Reserves `scratchBytes` and pins `versions` until the last block is
 * done.
 */
const runInSlices = (
  arena: Arena,
  scratchBytes: readonly number[],
  versions: readonly TableReader[],
  begin: (scratches: Region[]) => Generator<void>,
): void | Promise<void> => {
  const scratches: Region[] = []
  for (const reader of versions) reader.pin()
  const end = (): void => {
    for (const reader of versions) reader.unpin()
    for (const scratch of scratches) arena.release(scratch)
  }
  try {
    for (const bytes of scratchBytes) scratches.push(arena.reserve(bytes))
    const blocks = begin(scratches)
    if (!runSlice(blocks)) return runRemainingSlices(blocks).finally(end)
  } catch (error) {
    end()
    throw error
  }
  end()
}

/** Runs blocks for one time slice. Returns true if none are left. */
const runSlice = (blocks: Generator<void>): boolean => {
  const endsAt = performance.now() + SLICE_MS
  while (blocks.next().done !== true) if (performance.now() >= endsAt) return false
  return true
}

const runRemainingSlices = async (blocks: Generator<void>): Promise<void> => {
  do await setImmediate()
  while (!runSlice(blocks))
}
