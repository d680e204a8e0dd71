/** Pools bags inline or, if they are many, in parts on the compute pool. */
import type { Arena, Region } from '../tables/arena.ts'
import { BAG_SCRATCH_BYTES, type BagJob, poolRows } from '../tables/bags.ts'
import type { TableReader } from '../tables/table-reader.ts'
import { planDispatch } from './dispatch.ts'
import type { ComputePool } from './pool.ts'

/** Consecutive whole bags that one task pools. */
export interface BagRun {
  firstBag: number
  bagCount: number
}

/**
 * Splits bags into runs of at least `chunkMembers` members each, except for the last run. An empty bag counts
 * as one member, because its row has to be written.
 */
export const cutBags = (offsets: Int32Array, chunkMembers: number): BagRun[] => {
  const runs: BagRun[] = []
  const bagCount = offsets.length - 1
  let firstBag = 0
  for (let bag = 0; bag < bagCount; bag++) {
    const isLast = bag === bagCount - 1
    if (!isLast && offsets[bag + 1] - offsets[firstBag] + bag + 1 - firstBag < chunkMembers) continue
    runs.push({ firstBag, bagCount: bag + 1 - firstBag })
    firstBag = bag + 1
  }
  return runs
}

/**
 * Pools `job` on this thread or, in runs of whole bags, on the pool. Returns nothing if it is done already,
 * else a promise. The version is pinned meanwhile, and the caller keeps the regions of the job reserved until
 * the promise settles. Refuses OVERLOADED if the queue of the pool is full.
 */
export const dispatchBags = (
  reader: TableReader,
  arena: Arena,
  job: Omit<BagJob, 'kind' | 'scratchAt'>,
  pool: ComputePool | null,
): void | Promise<void> => {
  const offsets = arena.int32.subarray(job.offsetsAt / 4, job.offsetsAt / 4 + job.bagCount + 1)
  const plan = planDispatch(offsets[job.bagCount] + job.bagCount, reader.rowBytes, pool?.threadCount ?? 0)
  if (plan.inline || pool === null)
    return withScratch(arena, 1, ([scratch]) =>
      poolRows(reader, arena.memory, { ...job, kind: 'bags', scratchAt: scratch.at }),
    )
  const runs = cutBags(offsets, plan.chunkCount)
  pool.admit(runs.length)
  return withScratch(arena, runs.length, (scratches) => runOnPool(reader, arena, job, runs, scratches, pool))
}

/** Reserves a scratch region for each task until `work` is done. */
const withScratch = (
  arena: Arena,
  taskCount: number,
  work: (scratches: Region[]) => void | Promise<void>,
): void | Promise<void> => {
  const scratches: Region[] = []
  const release = () => {
    for (const scratch of scratches) arena.release(scratch)
  }
  let pending: void | Promise<void>
  try {
    for (let i = 0; i < taskCount; i++) scratches.push(arena.reserve(BAG_SCRATCH_BYTES))
    pending = work(scratches)
  } catch (error) {
    release()
    throw error
  }
  if (pending === undefined) return release()
  return pending.finally(release)
}

const runOnPool = async (
  reader: TableReader,
  arena: Arena,
  job: Omit<BagJob, 'kind' | 'scratchAt'>,
  runs: readonly BagRun[],
  scratches: readonly Region[],
  pool: ComputePool,
): Promise<void> => {
  reader.pin()
  const tasks = runs.map(({ firstBag, bagCount }, i) => {
    const places = {
      offsetsAt: job.offsetsAt + firstBag * 4,
      outAt: job.outAt + firstBag * reader.handle.dim * 4,
    }
    return pool.run(reader, arena.memory, {
      ...job,
      ...places,
      kind: 'bags',
      bagCount,
      scratchAt: scratches[i].at,
    })
  })
  // Regions are released only after all tasks have settled, because a running task writes into its region.
  const results = await Promise.allSettled(tasks)
  reader.unpin()
  const failed = results.find((result) => result.status === 'rejected')
  if (failed !== undefined) throw failed.reason
}
