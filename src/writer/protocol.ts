/**
 * The messages between HTTP workers and writer. They are plain data that survives a structured clone, which
 * shares memories instead of copying them. An HTTP worker sends calls (`WriterCalls`) and the writer answers.
 * The writer publishes tables, aliases and health, and each HTTP worker acknowledges tables and aliases.
 */
import type { Dtype, Durability, Optimizer, Precondition, Settings, TableInfo } from '../core/types.ts'
import type { AdapterHandle, AliasRecord, SegmentHandle, VersionHandle } from '../tables/handles.ts'

export interface BeginArguments {
  name: string
  rows: number
  dim: number
  dtype: Dtype
  /** Settings to change together with the data. The table keeps its other settings. */
  settings: Partial<Settings>
  precondition: Precondition
  /** The kind of the optimizer state that the caller will fill. It must be that of the table's optimizer. */
  stateKind?: string
  /**
   * Set for a merge: the rows are those of the current version with this adapter, which must still be
   * attached at the commit.
   */
  adapterKey?: string
}

export interface BeginAdapterArguments {
  name: string
  /** The version that the adapter is made for, which must be current. */
  version: number
  rank: number
  dtype: AdapterHandle['dtype']
  precondition: Precondition
}

/** The `Idempotency-Key` of an update. */
export interface UpdateKey {
  key: string
  /** The SHA-256 of what the request asks for. */
  request: Uint8Array
}

/** The `Idempotency-Key` of a change that is no update, reserved by `beginKey`. */
export interface ChangeKey {
  keyId: number
  /** The SHA-256 of what the request asks for. */
  request: Uint8Array
}

/** A table after a change. */
export interface ChangedTable {
  info: TableInfo
  /** Raised by each change of what clients see of the table, except its data. */
  revision: number
}

/** An adapter that was attached. */
export interface ChangedAdapter {
  /** Whether there was none before. */
  created: boolean
  version: number
  /** The sequence that the change took. */
  sequence: number
  adapter: Pick<AdapterHandle, 'rank' | 'alpha' | 'dtype' | 'attachedAt'> & { bytes: number }
}

/** An update without its arrays. */
export interface UpdateHead {
  name: string
  /** `gradients` runs the optimizer; `set` and `add` write values. */
  operation: 'gradients' | 'set' | 'add'
  /**
   * The shape of the indices in the request, with which an error names the place of an index. Without it, the
   * indices were a flat list.
   */
  shape?: number[]
  learningRate?: number
  precondition: Precondition
  /** A repeated request with the same key is answered with the first result. */
  key?: UpdateKey
  /**
   * Milliseconds since 1970 after which the client no longer waits. An update that has not begun by then is
   * refused.
   */
  deadlineAt?: number
}

/** An update with arrays of its own. */
export interface UpdateArguments extends UpdateHead {
  /** Row numbers, all within 0..rows-1. */
  indices: Int32Array
  /** The values of the rows: indices.length x dim. */
  values: Float32Array
}

/**
 * The byte addresses of the same arrays in a memory that the writer has received; they are multiples of 4.
 */
export interface ArrayPlaces {
  indicesAt: number
  indexCount: number
  valuesAt: number
  valueCount: number
}

/**
 * An update whose arrays lie in the memory of the HTTP worker, which leaves them unchanged until the answer.
 */
export interface UpdateRef extends UpdateHead {
  places: ArrayPlaces
}

export interface UpdateResult {
  version: number
  sequence: number
  rowsUpdated: number
  durability: Durability
  replayed: boolean
}

/**
 * Optimizer state that is being exported. Like the rows, updates overwrite it meanwhile; the pre-images hold
 * what it was.
 */
export interface ExportedState {
  optimizer: Optimizer
  /** The number of gradient steps taken. */
  step: number
  /** The state of rows that no gradient has touched. */
  initial: number
  /**
   * The state rows, float32, as rows of a table. `touched`, in shared memory, has a byte for each row; where
   * it is 0, the state is `initial`, whatever the memory holds. null says that no row has been touched.
   */
  memory: { rows: VersionHandle; touched: Uint8Array } | null
}

/** The rows of an export's range that updates changed since it began, as they were before. */
export interface PreImages {
  rows: Int32Array
  /** The bytes of the rows: rows.length x rowBytes. */
  bytes: Uint8Array
}

/** A snapshot that was written. */
export interface SnapshotSummary {
  table: string
  version: number
  /** The snapshot holds every update up to this sequence. */
  sequence: number
  bytes: number
}

/** What the writer can do. Readiness reports it. */
export interface WriterHealth {
  /** When `degraded`, lookups are answered and updates are refused. */
  state: 'loading' | 'ready' | 'degraded'
  /** An explanation for people. */
  reason: string
}

/** The argument and the answer of each procedure of the writer. */
export interface WriterCalls {
  /**
   * Answers once every table is loaded, and after everything published before; the HTTP worker is ready then.
   */
  sync: { argument: null; answer: null }
  /** Checks the precondition, and reserves quota and memory for a new version that only the caller sees. */
  beginBuild: {
    argument: BeginArguments
    answer: { buildId: number; segments: SegmentHandle[]; state: SegmentHandle[] | null }
  }
  /**
   * Makes a build the current version in every HTTP worker. `step` is the number of gradient steps behind its
   * state.
   */
  commitBuild: {
    argument: { buildId: number; step?: number; key?: ChangeKey }
    answer: { created: boolean; version: number } & ChangedTable
  }
  /** Discards a build and frees its memory. An unknown build is no error. */
  abortBuild: { argument: { buildId: number }; answer: null }
  /** Makes an earlier version current again. */
  rollback: {
    argument: { name: string; version: number; precondition: Precondition; key?: ChangeKey }
    answer: ChangedTable
  }
  /** Points an alias at a table, or at one version of it. */
  putAlias: { argument: AliasRecord & { key?: ChangeKey }; answer: { created: boolean } }
  removeAlias: { argument: { alias: string; key?: ChangeKey }; answer: null }
  /** Writes a snapshot of every version that has changed since its last one. */
  snapshot: { argument: null; answer: { snapshots: SnapshotSummary[] } }
  patch: {
    argument: { name: string; settings: Partial<Settings>; precondition: Precondition; key?: ChangeKey }
    answer: ChangedTable
  }
  remove: { argument: { name: string; precondition: Precondition; key?: ChangeKey }; answer: null }
  /**
   * Reserves an idempotency key for a change that is no update, until `endKey`. `isKnown` says that an
   * earlier change has stored it.
   */
  beginKey: {
    argument: { key: string; resource: { kind: 'table' | 'alias'; name: string } }
    answer: { keyId: number; isKnown: boolean }
  }
  /** Returns the result that an earlier change has stored with the key; null when none has. */
  recallKey: { argument: ChangeKey; answer: { result: unknown } | null }
  /** Stores a key alone, after a change that is no transaction of the writer. */
  storeKey: { argument: ChangeKey & { result: unknown }; answer: null }
  endKey: { argument: { keyId: number }; answer: null }
  update: { argument: UpdateArguments | UpdateRef; answer: UpdateResult }
  /**
   * Returns the result of the first update with a key, or null. An HTTP worker asks for it when it would
   * refuse the update, since the table may have changed after the first one.
   */
  recall: { argument: { name: string; key: UpdateKey }; answer: UpdateResult | null }
  /** Reserves quota and memory for an adapter of the current version that only the caller sees. */
  beginAdapter: {
    argument: BeginAdapterArguments
    answer: { adapterId: number } & Pick<AdapterHandle, 'a' | 'b'>
  }
  /** Makes it the adapter of its version in every HTTP worker, in place of the one before. */
  commitAdapter: { argument: { adapterId: number; alpha: number; key?: ChangeKey }; answer: ChangedAdapter }
  /** Discards it and frees its memory. An unknown one is no error. */
  abortAdapter: { argument: { adapterId: number }; answer: null }
  /** Removes the adapter of the current version, if there is one. */
  dropAdapter: { argument: { name: string; precondition: Precondition; key?: ChangeKey }; answer: null }
  /** Begins an export. Until it ends, the writer keeps pre-images of the rows that updates overwrite. */
  beginExport: {
    argument: { name: string; version: number; withState: boolean }
    answer: { exportId: number; sequence: number; revision: number; state: ExportedState | null }
  }
  readPreImages: {
    argument: { exportId: number; of: 'rows' | 'state'; firstRow: number; rowCount: number }
    answer: PreImages
  }
  endExport: { argument: { exportId: number }; answer: null }
}

export type WriterProcedure = keyof WriterCalls
