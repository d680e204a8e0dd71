import { setImmediate, setTimeout } from 'node:timers/promises'
import type { Arena } from '../tables/arena.ts'
import { type AttendJob, runAttendJob } from '../tables/attend.ts'
import type { TableReader } from '../tables/table-reader.ts'
import { INLINE_BYTES_MAX } from './dispatch.ts'
import type { ComputePool } from './pool.ts'

/** A term is one number of one row against one query: about a tenth of a nanosecond. */
export const INLINE_TERMS_MAX = 2 ** 23
/**
 * A chunk takes some milliseconds: long beside the cost of a task, short for other work that waits for the
 * thread.
 */
const CHUNK_BYTES_MAX = 32 * 1024 * 1024
const CHUNK_TERMS_MAX = 2 ** 25
/** Rows that the kernel keeps in registers together. */
const TILE_ROWS = 4
/**
 * A request that has begun waits this long for room in the queue, looking this often: what it has done would
 * be lost.
 */
const ROOM_WAIT_MS_MAX = 1_000
const ROOM_POLL_MS = 2

/** The chunks of a scan of a whole table. Plain data. */
export interface ScanPlan {
  /** Done by the HTTP worker, at once. */
  inline: boolean
  chunkRows: number
  /** Chunks that are under way together, each with memory of its own. */
  runnerCount: number
}

/** Decides from the sizes alone; `threadCount` 0: there is no pool. */
export const planScan = (
  rows: number,
  rowBytes: number,
  dim: number,
  queryCount: number,
  threadCount: number,
): ScanPlan => {
  const termsPerRow = dim * Math.max(1, queryCount)
  if (rows * rowBytes <= INLINE_BYTES_MAX && rows * termsPerRow <= INLINE_TERMS_MAX)
    return { inline: true, chunkRows: rows, runnerCount: 1 }
  const chunkRows = Math.max(
    TILE_ROWS,
    Math.floor(Math.min(CHUNK_BYTES_MAX / rowBytes, CHUNK_TERMS_MAX / termsPerRow)),
  )
  return {
    inline: false,
    chunkRows,
    runnerCount: Math.max(1, Math.min(threadCount, Math.ceil(rows / chunkRows))),
  }
}

/**
 * The arena and the threads that run jobs. The version is pinned and what the jobs write to stays reserved
 * until the promise is settled.
 */
export interface AttendWork {
  reader: TableReader
  arena: Arena
  pool: ComputePool | null
  runnerCount: number
  /** Throws when the client has gone; it is called before each job. */
  checkWanted: () => void
}

/**
 * Runs jobs until `nextJob` has none: `runnerCount` at a time on the pool, so that no request fills its
 * queue; without a pool one after the other here, with a turn for others in between. `nextJob(runner)` gives
 * the runner its next one. Settles when nothing runs any more; refuses what the first failure refused,
 * OVERLOADED when the queue is full.
 */
export const runAttendJobs = async (
  work: AttendWork,
  nextJob: (runner: number) => AttendJob | null,
): Promise<void> => {
  const { pool, checkWanted } = work
  let failed = false
  const run = async (runner: number): Promise<void> => {
    try {
      let begun = false
      for (let job = nextJob(runner); job !== null && !failed; job = nextJob(runner)) {
        if (begun && pool !== null) await waitForRoom(pool)
        checkWanted()
        await runJob(work, job)
        begun = true
      }
    } catch (error) {
      failed = true
      throw error
    }
  }
  const results = await Promise.allSettled(
    Array.from({ length: work.runnerCount }, (_, runner) => run(runner)),
  )
  const failure = results.find((result) => result.status === 'rejected')
  if (failure !== undefined) throw failure.reason
}

const waitForRoom = async (pool: ComputePool): Promise<void> => {
  const giveUpAt = performance.now() + ROOM_WAIT_MS_MAX
  while (!pool.hasRoom(1) && performance.now() < giveUpAt) await setTimeout(ROOM_POLL_MS)
}

const runJob = ({ reader, arena, pool }: AttendWork, job: AttendJob): Promise<void> => {
  if (pool !== null) {
    pool.admit(1)
    return pool.run(reader, arena.memory, job)
  }
  runAttendJob(reader, arena.memory, job)
  return setImmediate()
}
