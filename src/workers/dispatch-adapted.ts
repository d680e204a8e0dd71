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

/** After this long, the event loop runs other work of the thread. */
const TURN_MS = 2

/**
 * Adds an adapter to gathered float32 rows, on this thread. Long work lets the event loop run in between.
 * Returns nothing when it is done already, else a promise; the rows' part of the arena must stay reserved
 * until then. Refuses OVERLOADED when the arena has no room.
 */
export const dispatchAdapted = (
  adapter: TableAdapter,
  arena: Arena,
  job: Omit<AdaptJob, 'factorsAt'>,
): void | Promise<void> =>
  runInTurns(arena, [FACTOR_SCRATCH_BYTES], [adapter.factors], ([factors]) =>
    adaptInBlocks(adapter, arena.memory, { ...job, factorsAt: factors.at }),
  )

/** Pools adapted rows, in the same way. */
export const dispatchAdaptedBags = (
  reader: TableReader,
  adapter: TableAdapter,
  arena: Arena,
  job: Omit<BagJob, 'kind' | 'scratchAt'>,
): void | Promise<void> => {
  const { dim } = reader.handle
  return runInTurns(
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
 * Runs the blocks that `begin` makes. `scratchBytes` are reserved, and `versions` pinned, for as long as that
 * takes.
 */
const runInTurns = (
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
    if (!runTurn(blocks)) return runOtherTurns(blocks).finally(end)
  } catch (error) {
    end()
    throw error
  }
  end()
}

/** True: there are no more blocks. */
const runTurn = (blocks: Generator<void>): boolean => {
  const endsAt = performance.now() + TURN_MS
  while (blocks.next().done !== true) if (performance.now() >= endsAt) return false
  return true
}

const runOtherTurns = async (blocks: Generator<void>): Promise<void> => {
  do await setImmediate()
  while (!runTurn(blocks))
}
