import type { Dtype, Settings } from '../core/types.ts'

/** Tables as plain data: what crosses threads. Memories in it are shared by a structured clone, never copied. */

/** One memory of a version, as every thread maps it. */
export interface SegmentHandle {
  memory: WebAssembly.Memory
  firstRow: number
  rowCount: number
}

/** A readable version of a table. `key` is unique for ever in this process. */
export interface VersionHandle {
  key: string
  version: number
  rows: number
  dim: number
  dtype: Dtype
  createdAt: number
  segments: SegmentHandle[]
}

/** A table as every thread knows it: what is current, what else is readable. */
export interface TableRecord {
  name: string
  settings: Settings
  createdAt: number
  /** When settings or the current version last changed; updates move the time in the version's control words. */
  changedAt: number
  current: number
  /** Ascending by version. */
  versions: VersionHandle[]
}
