import { refuse } from '../../core/errors.ts'
import { LIMITS } from '../../core/limits.ts'
import type { Optimizer, Settings } from '../../core/types.ts'
import type { AdapterHandle, TableRecord, VersionHandle } from '../../tables/handles.ts'
import { rowBytes } from '../../layout/table-layout.ts'
import type { TableMemory } from '../../tables/memory.ts'
import { type CurrentState, checkPrecondition } from '../../tables/precondition.ts'
import type { TableWriter } from '../../tables/table-writer.ts'
import type { CatalogSnapshot } from '../../storage/catalog-rows.ts'
import type { BeginArguments } from '../protocol.ts'
import { createState, type OptimizerState } from './optimizer-state.ts'

/** What a table is until somebody says otherwise. */
export const DEFAULT_SETTINGS: Settings = {
  out_of_range: 'error',
  fill_value: null,
  padding_index: null,
  optimizer: { kind: 'sgd', learning_rate: 0.01 },
  durability: 'disk',
  keep_versions: 2,
}

/** A version's adapter as the writer holds it. */
export interface AdapterModel {
  handle: AdapterHandle
  reservedBytes: number
  /** Of A and B, in the folder of snapshots. */
  files: string[]
}

/** What the data directory holds of a version. */
export interface StoredVersion {
  /** Newest last; two at most. */
  snapshots: CatalogSnapshot[]
  /** What a start would bring back: less than the version's sequence when updates of mode `none` came since. */
  durableSequence: number
  /** Of records since the newest snapshot began. */
  journalBytes: number
  /** Snapshots and changes of mode under way. While there are any, `none` updates are journaled too. */
  journalPins: number
}

/** A version as the writer holds it. */
export interface VersionModel {
  handle: VersionHandle
  table: TableWriter
  reservedBytes: number
  state: OptimizerState | null
  adapter: AdapterModel | null
  stored: StoredVersion
  /** Sequence and step after the updates that are computed and not yet visible; null: there are none. */
  planned: { sequence: number; step: number } | null
  /** Keys of adapters before it that lookups still add. */
  leavingAdapters: Set<string>
}

export interface TableModel {
  /** Given to no other table, ever: another one may come to have the name. */
  id: number
  name: string
  settings: Settings
  createdAt: number
  changedAt: number
  highest: number
  /** Raised each time the optimizer state is dropped: what the disk holds of an earlier one is not taken up again. */
  stateEpoch: number
  current: VersionModel
  versions: Map<number, VersionModel>
}

/** A version that is being filled. Nobody but the HTTP worker that fills it sees it. */
export interface Build {
  arguments: BeginArguments
  handle: VersionHandle
  reservedBytes: number
  /** State that comes with the rows. */
  state: OptimizerState | null
}

/** What conditions are about; undefined: there is no such table. */
export const currentState = (table: TableModel | undefined): CurrentState =>
  table && { version: table.current.handle.version, sequence: lastSequence(table.current) }

/** The sequence that the next update follows. */
export const lastSequence = ({ table, planned }: VersionModel): number =>
  planned?.sequence ?? table.readSequence()

/** What the HTTP workers are told. */
export const toRecord = (table: TableModel): TableRecord => ({
  name: table.name,
  settings: table.settings,
  createdAt: table.createdAt,
  changedAt: table.changedAt,
  current: table.current.handle.version,
  versions: [...table.versions.values()]
    .map((version) => version.handle)
    .sort((a, b) => a.version - b.version),
  adapters: [...table.versions.values()].flatMap(({ adapter }) => (adapter === null ? [] : [adapter.handle])),
})

/** Settings after a change. Refuses a padding index that names no row of a table of `rows` rows. */
export const mergeSettings = (before: Settings, changes: Partial<Settings>, rows: number): Settings => {
  const padding = changes.padding_index
  if (typeof padding === 'number' && (padding < -rows || padding >= rows)) {
    refuse('INVALID_REQUEST', `padding_index ${padding} names no row of a table of ${rows} rows`, {
      errors: [{ pointer: '/padding_index', detail: `expected ${-rows}..${rows - 1} or null` }],
    })
  }
  return { ...before, ...changes }
}

/** Reserves memory for a new version of a table. Refuses PRECONDITION_FAILED, MEMORY_QUOTA_EXCEEDED, a padding index outside. */
export const beginBuild = (
  tables: ReadonlyMap<string, TableModel>,
  memory: TableMemory,
  key: string,
  begin: BeginArguments,
  nowMs: number,
): Build => {
  const table = tables.get(begin.name)
  checkPrecondition(begin.precondition, currentState(table))
  if (table === undefined && tables.size >= LIMITS.tableCountMax) {
    refuse(
      'MEMORY_QUOTA_EXCEEDED',
      `there are ${LIMITS.tableCountMax} tables already, the most this service holds`,
    )
  }
  const { optimizer } = mergeSettings(table?.settings ?? DEFAULT_SETTINGS, begin.settings, begin.rows)
  checkStateKind(begin, optimizer)
  const { rows, dim, dtype, stateKind } = begin
  const { segments, reservedBytes } = memory.allocate(rows, rowBytes(dim, dtype))
  const handle: VersionHandle = { key, version: 0, rows, dim, dtype, createdAt: nowMs, segments }
  try {
    const state = stateKind === undefined ? null : createState(memory, handle, optimizer)
    return { arguments: begin, handle, reservedBytes, state }
  } catch (error) {
    memory.release(reservedBytes)
    throw error
  }
}

/** Refuses PRECONDITION_FAILED: the HTTP worker has checked it against the optimizer that it knew, and somebody has changed it since. */
export const checkStateKind = ({ stateKind }: BeginArguments, { kind }: Optimizer): void => {
  if (stateKind === undefined || stateKind === kind) return
  refuse(
    'PRECONDITION_FAILED',
    `the upload brings the state of ${stateKind}, but the table's optimizer has become ${kind}`,
  )
}

/** Gives the memory of a build back that nobody will read. */
export const releaseBuild = (build: Build, memory: TableMemory): void =>
  memory.release(build.reservedBytes + (build.state?.reservedBytes ?? 0))
