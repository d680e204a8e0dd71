/**
 * Descriptions of tables, versions, adapters and aliases as plain data, which threads send to each other. A
 * structured clone shares the memories in them and never copies their bytes.
 */
import type { Dtype, Settings } from '../core/types.ts'

/** One memory of a version. Every thread maps the same memory. */
export interface SegmentHandle {
  memory: WebAssembly.Memory
  firstRow: number
  rowCount: number
}

/** Returns the memories of these segments. */
export const memoriesOf = (segments: readonly SegmentHandle[]): WebAssembly.Memory[] =>
  segments.map(({ memory }) => memory)

/** A readable version of a table. `key` is never reused within this process. */
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
 * A low-rank adapter of a version: lookups add (alpha / rank) * A[i] . B to its row i. Its factors never
 * change after publication; a replacement gets a new `key`, which is never reused, like the keys of versions.
 */
export interface AdapterHandle {
  key: string
  /** The number of the version that the adapter belongs to. */
  version: number
  /** The row count of A, equal to that of the version. */
  rows: number
  rank: number
  alpha: number
  /** The dtype of A. */
  dtype: Exclude<Dtype, 'int8'>
  attachedAt: number
  /** The segments of A: `rows` rows of `rank` numbers. */
  a: SegmentHandle[]
  /** The memory of B: `rank` rows of `dim` float32, in the layout of a segment. */
  b: WebAssembly.Memory
}

/** Returns the memories of an adapter. */
export const adapterMemories = ({ a, b }: Pick<AdapterHandle, 'a' | 'b'>): WebAssembly.Memory[] => [
  ...memoriesOf(a),
  b,
]

/**
 * The state of a table that every thread knows: its settings, its current version and its other readable
 * versions.
 */
export interface TableHandle {
  name: string
  settings: Settings
  createdAt: number
  /**
   * The time when the settings or the current version last changed. The time of updates is in the control
   * words of the version.
   */
  changedAt: number
  /** Raised by each change of what clients see of the table, except its data. */
  revision: number
  current: number
  /** The versions that aliases name, which stay readable beyond `keep_versions`. */
  held: HeldVersions
  /** The readable versions, in ascending order of number. */
  versions: VersionHandle[]
  /** The attached adapters, at most one for each version. */
  adapters: AdapterHandle[]
}

/** The versions of a table that aliases name, with the names of these aliases. */
export type HeldVersions = ReadonlyMap<number, readonly string[]>

/** Another name under which clients can read a table. */
export interface AliasRecord {
  alias: string
  table: string
  /** The version that the alias is pinned to, or null to follow the current one. */
  version: number | null
}
