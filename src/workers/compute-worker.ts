import { BroadcastChannel, workerData } from 'node:worker_threads'
import { type ErrorMessage, toMessage } from '../core/errors.ts'
import { type AttendJob, runAttendJob } from '../tables/attend.ts'
import { type BagJob, poolRows } from '../tables/bags.ts'
import { type GatherJob, gatherRows } from '../tables/gather.ts'
import type { VersionHandle } from '../tables/handles.ts'
import { TableReader } from '../tables/table-reader.ts'

/** A job that a compute worker runs for an HTTP worker. */
export type PoolJob = GatherJob | BagJob | AttendJob

/** A part of a large lookup. Ids and rows lie in the HTTP worker's arena; only these few words travel. */
export interface GatherTask {
  /** The key of the version. */
  key: string
  job: PoolJob
  /**
   * The memories that the thread maps before it knows the version. They are sent only after it said so, since
   * cloning memories takes a millisecond.
   */
  mapping?: { handle: VersionHandle; arena: WebAssembly.Memory }
}

const versions = new Map<string, TableReader>()
let arena: WebAssembly.Memory | undefined

// The HTTP worker tells when a version is retired, so that no thread keeps its memory alive.
const retired = new BroadcastChannel((workerData as { retiredChannel: string }).retiredChannel)
retired.onmessage = (event: unknown) => versions.delete((event as { data: string }).data)
retired.unref()

/**
 * Runs one task of the pool. False: this thread does not know the version, and nothing was done. One arena
 * serves it all its life. A refusal is returned: thrown ones lose their code on the way to the HTTP worker.
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
