/** Splits a scan of a whole table into jobs and runs them, inline or on the compute pool. */
import { setImmediate, setTimeout } from 'node:timers/promises'
import type { Arena } from '../tables/arena.ts'
import { type AttendJob, runAttendJob } from '../tables/attend.ts'
import type { TableReader } from '../tables/table-reader.ts'
import { INLINE_BYTES_MAX } from './dispatch.ts'
import type { ComputePool } from './pool.ts'

/**
 * The most terms that run inline. A term is one number of one row multiplied with one query, which takes
 * about a tenth of a nanosecond.
 */
export const INLINE_TERMS_MAX = 2 ** 23
/**
 * A chunk of these sizes takes some milliseconds: long compared with the cost of a pool task, short for other
 * work that waits for the thread.
 */
const CHUNK_BYTES_MAX = 32 * 1024 * 1024
const CHUNK_TERMS_MAX = 2 ** 25
/** The number of rows that the kernel keeps in registers together. */
const TILE_ROWS = 4
/**
 * A request that has started waits this long for space in the queue and checks at this interval, because
 * refusing it would waste the work already done.
 */
const ROOM_WAIT_MS_MAX = 1_000
const ROOM_POLL_MS = 2

/** How a scan of a whole table is split. Plain data. */
export interface ScanPlan {
  /** True if the HTTP worker runs the scan itself, as one chunk. */
  inline: boolean
  chunkRows: number
  /** The number of chunks that run at the same time, each with memory of its own. */
  runnerCount: number
}

/** Plans a scan from its sizes alone. A `threadCount` of 0 means that there is no pool. */
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
 * The version, arena and pool that jobs use. The caller keeps the version pinned and the regions that the
 * jobs write reserved until the promise settles.
 */
export interface AttendWork {
  reader: TableReader
  arena: Arena
  pool: ComputePool | null
  runnerCount: number
  /** Throws if the client has disconnected. It is called before each job. */
  checkWanted: () => void
}

/**
 * Runs jobs until `nextJob` returns null. On the pool, `runnerCount` jobs run at a time, so that one request
 * cannot fill the queue. Without a pool, jobs run here one after the other, and the event loop runs other
 * work between them. `nextJob(runner)` returns the next job of a runner. The promise settles once no job is
 * running any more; it rejects with the first failure, which is OVERLOADED if the queue is full.
 */
export const runAttendJobs = async (
  work: AttendWork,
  nextJob: (runner: number) => AttendJob | null,
): Promise<void> => {
  const { pool, checkWanted } = work
  let failed = false
  const run = async (runner: number): Promise<void> => {
    try {
      let hasStarted = false
      for (let job = nextJob(runner); job !== null && !failed; job = nextJob(runner)) {
        if (hasStarted && pool !== null) await waitForRoom(pool)
        checkWanted()
        await runJob(work, job)
        hasStarted = true
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
