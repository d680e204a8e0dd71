import { BroadcastChannel, workerData } from 'node:worker_threads'
import { type GatherJob, gatherRows } from '../tables/gather.ts'
import type { VersionHandle } from '../tables/handles.ts'
import { TableVersion } from '../tables/table.ts'

/** A part of a large lookup. Ids and rows lie in the front's arena; only these few words travel. */
export interface GatherTask {
  arena: WebAssembly.Memory
  handle: VersionHandle
  job: GatherJob
}

const versions = new Map<string, TableVersion>()
let arena: WebAssembly.Memory | undefined

// The front tells when a version is retired, so that no thread keeps its memory alive.
const retired = new BroadcastChannel((workerData as { retiredChannel: string }).retiredChannel)
retired.onmessage = (event: unknown) => versions.delete((event as { data: string }).data)
retired.unref()

/** Runs one task of the pool. A gatherer serves one front, so it meets one arena all its life. */
export default function gather(task: GatherTask): void {
  arena ??= task.arena
  let version = versions.get(task.handle.key)
  if (version === undefined) {
    version = new TableVersion(task.handle)
    versions.set(task.handle.key, version)
  }
  gatherRows(version, arena, task.job)
}
