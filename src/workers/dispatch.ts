/** Decides whether a gather runs on the HTTP worker or on the compute pool, and runs it there. */
import type { Arena } from '../tables/arena.ts'
import { type GatherJob, gatherRows } from '../tables/gather.ts'
import type { TableReader } from '../tables/table-reader.ts'
import type { ComputePool } from './pool.ts'

/**
 * A gather of fewer bytes than this runs on the HTTP worker itself. A pool task costs about 100 microseconds
 * of CPU, and a gather of this size takes about a millisecond, which is as long as an HTTP worker should
 * block other requests (docs/explanation/decisions.md, measured).
 */
export const INLINE_BYTES_MAX = 8 * 1024 * 1024
/** The least bytes of a pool task, so that its fixed cost is small compared with its work. */
const TASK_BYTES_MIN = 4 * 1024 * 1024

/** Reading a row costs at least one cache line. */
const ROW_BYTES_MIN = 64

/** The plan of a gather: whether it runs inline or on the pool, and how it is split. Plain data. */
export interface DispatchPlan {
  inline: boolean
  /** The number of ids in each pool task. */
  chunkCount: number
}

/** Plans a gather from its size alone. A `threadCount` of 0 makes everything run inline. */
export const planDispatch = (count: number, rowBytes: number, threadCount: number): DispatchPlan => {
  const costBytes = count * Math.max(rowBytes, ROW_BYTES_MIN)
  if (threadCount === 0 || costBytes < INLINE_BYTES_MAX) return { inline: true, chunkCount: count }
  const taskCount = Math.min(threadCount * 2, Math.floor(costBytes / TASK_BYTES_MIN))
  return { inline: false, chunkCount: Math.ceil(count / taskCount) }
}

/**
 * Gathers `job` on this thread or on the pool. Returns nothing if it is done already, else a promise. The
 * version is pinned meanwhile, and the caller keeps the regions of the job reserved until the promise
 * settles. Refuses OVERLOADED if the queue of the pool is full.
 */
export const dispatchGather = (
  reader: TableReader,
  arena: Arena,
  job: GatherJob,
  pool: ComputePool | null,
): void | Promise<void> => {
  const plan = planDispatch(job.count, reader.rowBytes, pool?.threadCount ?? 0)
  if (plan.inline || pool === null) return gatherRows(reader, arena.memory, job)
  const outRowBytes = job.format === 'stored' ? reader.rowBytes : reader.handle.dim * 4
  pool.admit(Math.ceil(job.count / plan.chunkCount))
  const tasks: Promise<void>[] = []
  reader.pin()
  for (let first = 0; first < job.count; first += plan.chunkCount) {
    const count = Math.min(plan.chunkCount, job.count - first)
    const part = { ...job, idsAt: job.idsAt + first * 4, outAt: job.outAt + first * outRowBytes, count }
    tasks.push(pool.run(reader, arena.memory, part))
  }
  // Regions are released only after all tasks have settled, because a running task writes into its region.
  return Promise.allSettled(tasks).then((results) => {
    reader.unpin()
    const failed = results.find((result) => result.status === 'rejected')
    if (failed !== undefined) throw failed.reason
  })
}
