import type { Dtype, Settings } from '../core/types.ts'

/**
 * Tables as plain data: what crosses threads. Memories in it are shared by a structured clone, never copied.
 */

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

/**
 * A low-rank adapter of a version: lookups add (alpha / rank) * A[i] . B to its row i. Never written after it
 * was published; another one has another key, which is unique as those of versions are.
 */
export interface AdapterHandle {
  key: string
  /** The number of the version that it belongs to. */
  version: number
  /** Rows of A, which are the version's. */
  rows: number
  rank: number
  alpha: number
  /** The dtype of A. */
  dtype: Exclude<Dtype, 'int8'>
  attachedAt: number
  /** A: `rows` rows of `rank` numbers. */
  a: SegmentHandle[]
  /** B: `rank` rows of float32, as many numbers as the version has columns, as rows of a segment. */
  b: WebAssembly.Memory
}

/** A table as every thread knows it: what is current, what else is readable. */
export interface TableHandle {
  name: string
  settings: Settings
  createdAt: number
  /**
   * When settings or the current version last changed; updates move the time in the version's control words.
   */
  changedAt: number
  current: number
  /** Ascending by version. */
  versions: VersionHandle[]
  /** At most one of each version. */
  adapters: AdapterHandle[]
}

/** Another name under which a table is read. */
export interface AliasRecord {
  alias: string
  table: string
  /** null: whichever is current. */
  version: number | null
}
