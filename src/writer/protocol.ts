import type { ErrorMessage } from '../core/errors.ts'
import type { Dtype, Durability, Optimizer, Precondition, Settings } from '../core/types.ts'
import type {
  AdapterHandle,
  AliasRecord,
  SegmentHandle,
  TableRecord,
  VersionHandle,
} from '../tables/handles.ts'

/**
 * What HTTP workers and writer say to each other. Plain data: everything here survives a structured clone, memories are shared by it.
 * An HTTP worker calls (`WriterCalls`), the writer answers; the writer publishes records (`Publication`), each HTTP worker acknowledges.
 */

export interface BeginArguments {
  name: string
  rows: number
  dim: number
  dtype: Dtype
  /** Settings to change together with the data; the table's stay otherwise. */
  settings: Partial<Settings>
  precondition: Precondition
  /** The caller brings optimizer state of this kind, which must be that of the table's optimizer. */
  stateKind?: Exclude<Optimizer['kind'], 'sgd'>
  /** The rows are those of the current version with this adapter, which it must still have. */
  adapterKey?: string
}

export interface BeginAdapterArguments {
  name: string
  /** The one that it is made for, which must be current. */
  version: number
  rank: number
  dtype: AdapterHandle['dtype']
  precondition: Precondition
}

/** An `Idempotency-Key` as an HTTP worker hands it on. */
export interface UpdateKey {
  key: string
  /** SHA-256 of what the request asks for. */
  request: Uint8Array
}

/** What an update says beside its arrays. */
export interface UpdateHead {
  name: string
  /** `gradients` goes through the optimizer; `set` and `add` write values. */
  operation: 'gradients' | 'set' | 'add'
  /** Of the indices as the request had them, for naming places; without it they were a list. */
  shape?: number[]
  learningRate?: number
  precondition: Precondition
  /** The same key and request again is answered with the first result. */
  key?: UpdateKey
  /** Milliseconds since 1970 after which the client no longer waits: the update is refused unstarted. */
  deadlineAt?: number
}

/** An update with arrays of its own. */
export interface UpdateArguments extends UpdateHead {
  /** Row numbers, all within 0..rows-1. */
  indices: Int32Array
  /** indices.length x dim. */
  values: Float32Array
}

/** Where the same arrays lie in a memory that the writer was shown: byte addresses, multiples of 4. */
export interface ArrayPlaces {
  indicesAt: number
  indexCount: number
  valuesAt: number
  valueCount: number
}

/** An update whose arrays are in the memory that the HTTP worker has shown; they stay as they are until the answer. */
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

/** Optimizer state on its way out. Like the rows, it is overwritten meanwhile: old state is in the pre-images. */
export interface ExportedState {
  optimizer: Optimizer
  /** Gradient steps taken. */
  step: number
  /** What state is in rows that no gradient has touched. */
  initial: number
  /**
   * State rows, float32, as rows of a table; `touched`, in shared memory, has a byte for each row: 0 while its state is `initial`, whatever its
   * memory says. null: no row has been touched.
   */
  memory: { rows: VersionHandle; touched: Uint8Array } | null
}

/** Old rows of an export's range: those that updates changed since it began. */
export interface PreImages {
  rows: Int32Array
  /** rows.length x rowBytes. */
  bytes: Uint8Array
}

/** A snapshot that was written. */
export interface SnapshotSummary {
  table: string
  version: number
  /** It holds every update through this one. */
  sequence: number
  bytes: number
}

/** What the writer is able to do, as readiness tells it. */
export interface WriterHealth {
  /** `degraded`: lookups are answered, updates are not. */
  state: 'loading' | 'ready' | 'degraded'
  /** For people. */
  reason: string
}

/** The writer's procedures: argument and answer. */
export interface WriterCalls {
  /** Answered when every table is loaded, after what was published before: an HTTP worker is ready then. */
  sync: { argument: null; answer: null }
  /** Checks the precondition, reserves quota and memory for a new version that only the caller sees. */
  beginBuild: {
    argument: BeginArguments
    answer: { buildId: number; segments: SegmentHandle[]; state: SegmentHandle[] | null }
  }
  /** Makes a build the current version on every HTTP worker. `step`: gradient steps that its state comes from. */
  commitBuild: { argument: { buildId: number; step?: number }; answer: { created: boolean; version: number } }
  /** Gives a build up and its memory back. Unknown builds are no error. */
  abortBuild: { argument: { buildId: number }; answer: null }
  /** Makes an earlier version current again. */
  rollback: { argument: { name: string; version: number; precondition: Precondition }; answer: null }
  /** Points an alias at a table, or at a version of it. */
  putAlias: { argument: AliasRecord; answer: { created: boolean } }
  removeAlias: { argument: { alias: string }; answer: null }
  /** Writes a snapshot of every version that has changed since its last one. */
  snapshot: { argument: null; answer: { snapshots: SnapshotSummary[] } }
  patch: { argument: { name: string; settings: Partial<Settings>; precondition: Precondition }; answer: null }
  remove: { argument: { name: string; precondition: Precondition }; answer: null }
  update: { argument: UpdateArguments | UpdateRef; answer: UpdateResult }
  /** The result of the first update with a key, or null. For one that would be refused now: the table may have changed since. */
  recall: { argument: { name: string; key: UpdateKey }; answer: UpdateResult | null }
  /** Reserves quota and memory for an adapter of the current version that only the caller sees. */
  beginAdapter: {
    argument: BeginAdapterArguments
    answer: { adapterId: number } & Pick<AdapterHandle, 'a' | 'b'>
  }
  /** Makes it the adapter of its version on every HTTP worker, in the place of another. */
  commitAdapter: { argument: { adapterId: number; alpha: number }; answer: { created: boolean } }
  /** Gives it up, and its memory back. Unknown ones are no error. */
  abortAdapter: { argument: { adapterId: number }; answer: null }
  /** Takes the adapter off the current version, if there is one. */
  dropAdapter: { argument: { name: string; precondition: Precondition }; answer: null }
  /** From here on the writer remembers what updates overwrite. */
  beginExport: {
    argument: { name: string; version: number; withState: boolean }
    answer: { exportId: number; sequence: number; state: ExportedState | null }
  }
  readPreImages: {
    argument: { exportId: number; of: 'rows' | 'state'; firstRow: number; rowCount: number }
    answer: PreImages
  }
  endExport: { argument: { exportId: number }; answer: null }
}

export type WriterProcedure = keyof WriterCalls

export interface WriterCall {
  callId: number
  procedure: WriterProcedure
  argument: unknown
}

/** Of a call: its answer, or why it was refused. */
export interface WriterAnswer {
  callId: number
  answer?: unknown
  error?: ErrorMessage
}

/** HTTP worker to writer. */
export type HttpWorkerMessage =
  | { kind: 'calls'; calls: WriterCall[] }
  | { kind: 'published'; publicationId: number }
  /** The memory in which updates of this HTTP worker will lie: said once, so that an update is a few numbers. */
  | { kind: 'shown'; memory: WebAssembly.Memory }
  /** No lookup of this HTTP worker reads the version any more. */
  | { kind: 'released'; key: string }

/** Writer to HTTP worker. */
export type WriterMessage =
  | { kind: 'answers'; answers: WriterAnswer[] }
  /** `record: null`: the table is gone. */
  | { kind: 'publish'; publicationId: number; name: string; record: TableRecord | null }
  /** All of them, in the place of those before. */
  | { kind: 'aliases'; publicationId: number; aliases: AliasRecord[] }
  | { kind: 'health'; health: WriterHealth }
