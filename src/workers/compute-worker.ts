/**
 * The code of a compute worker thread: runs gather, bag and attend jobs that an HTTP worker hands to its
 * pool.
 */
import { BroadcastChannel, workerData } from 'node:worker_threads'
import { type ErrorMessage, toMessage } from '../core/errors.ts'
import { type AttendJob, runAttendJob } from '../tables/attend.ts'
import { type BagJob, poolRows } from '../tables/bags.ts'
import { type GatherJob, gatherRows } from '../tables/gather.ts'
import type { VersionHandle } from '../tables/handles.ts'
import { TableReader } from '../tables/table-reader.ts'

/** A job that a compute worker runs for an HTTP worker. */
export type PoolJob = GatherJob | BagJob | AttendJob

/**
 * A message to a compute worker: one job. Ids and rows stay in the HTTP worker's arena; only these few fields
 * are copied between threads.
 */
export interface GatherTask {
  /** The key of the version that the job reads. */
  key: string
  job: PoolJob
  /**
   * Memories for a thread that does not know the version yet. The HTTP worker sends them only after the
   * thread reported that, because cloning memories takes a millisecond.
   */
  mapping?: { handle: VersionHandle; arena: WebAssembly.Memory }
}

const versions = new Map<string, TableReader>()
let arena: WebAssembly.Memory | undefined

// The HTTP worker announces retired versions, so that no thread keeps their memory alive.
const retired = new BroadcastChannel((workerData as { retiredChannel: string }).retiredChannel)
retired.onmessage = (event: unknown) => versions.delete((event as { data: string }).data)
retired.unref()

/**
 * Runs one task of the pool. Returns false, with nothing done, if this thread does not know the version. The
 * thread uses the same arena for its whole life. A refusal is returned, because an exception would lose its
 * code on the way to the HTTP worker.
 */
export default function gather({ key, job, mapping }: GatherTask): boolean | ErrorMessage {
  if (mapping !== undefined) {
    arena ??= mapping.arena
    if (!versions.has(key)) versions.set(key, new TableReader(mapping.handle))
  }
  const reader = versions.get(key)
  if (reader === undefined || arena === undefined) return false
  try {
    if (!('kind' in job)) gatherRows(reader, arena, job)
    else if (job.kind === 'bags') poolRows(reader, arena, job)
    else runAttendJob(reader, arena, job)
    return true
  } catch (error) {
    return toMessage(error)
  }
}
