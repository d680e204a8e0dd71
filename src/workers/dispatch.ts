import type { Arena } from '../tables/arena.ts'
import { type GatherJob, gatherRows } from '../tables/gather.ts'
import type { TableReader } from '../tables/table-reader.ts'
import type { ComputePool } from './pool.ts'

/**
 * A gather of fewer bytes than this runs in the HTTP worker itself. A pool task costs about 100 microseconds
 * of CPU, a gather of this size takes about a millisecond, which is as long as an HTTP worker should keep
 * others waiting (docs/explanation/decisions.md, measured).
 */
export const INLINE_BYTES_MAX = 8 * 1024 * 1024
/** Bytes of a task, so that its cost is small beside its work. */
const TASK_BYTES_MIN = 4 * 1024 * 1024

/** A row costs at least a cache line. */
const ROW_BYTES_MIN = 64

/** Whether a gather runs inline or on the pool, and in how many parts. Plain data. */
export interface DispatchPlan {
  inline: boolean
  /** Ids per task of the pool. */
  chunkCount: number
}

/** Decides from the size alone; `threadCount` 0 means that everything runs inline. */
export const planDispatch = (count: number, rowBytes: number, threadCount: number): DispatchPlan => {
  const costBytes = count * Math.max(rowBytes, ROW_BYTES_MIN)
  if (threadCount === 0 || costBytes < INLINE_BYTES_MAX) return { inline: true, chunkCount: count }
  const taskCount = Math.min(threadCount * 2, Math.floor(costBytes / TASK_BYTES_MIN))
  return { inline: false, chunkCount: Math.ceil(count / taskCount) }
}

/**
 * Gathers `job` here or on the pool. Returns nothing when it is done already, else a promise; the version is
 * pinned and the job's part of the arena must stay reserved until then. Refuses OVERLOADED when the pool's
 * queue is full.
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
  // All settle before anything is released: a task that still runs writes into the region.
  return Promise.allSettled(tasks).then((results) => {
    reader.unpin()
    const failed = results.find((result) => result.status === 'rejected')
    if (failed !== undefined) throw failed.reason
  })
}
