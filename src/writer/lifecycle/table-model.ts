/** Tables, versions and builds as the writer holds them. */
import { refuse } from '../../core/errors.ts'
import { LIMITS } from '../../core/limits.ts'
import type { Optimizer, Settings } from '../../core/types.ts'
import { DEFAULT_OPTIMIZER } from '../../optimizers/complete.ts'
import {
  type AdapterHandle,
  type HeldVersions,
  memoriesOf,
  type TableHandle,
  type VersionHandle,
} from '../../tables/handles.ts'
import { rowBytes } from '../../layout/table-layout.ts'
import type { TableMemory } from '../../tables/memory.ts'
import { type CurrentState, checkPrecondition } from '../../tables/precondition.ts'
import { checkPaddingIndex } from '../../tables/resolve.ts'
import type { TableWriter } from '../../tables/table-writer.ts'
import type { CatalogSkip, CatalogSnapshot } from '../../storage/catalog-rows.ts'
import type { BeginArguments } from '../protocol.ts'
import { createState, type OptimizerState, stateMemories } from './optimizer-state.ts'

/** The settings of a new table. */
export const DEFAULT_SETTINGS: Settings = {
  out_of_range: 'error',
  fill_value: null,
  padding_index: null,
  optimizer: DEFAULT_OPTIMIZER,
  durability: 'disk',
  keep_versions: 2,
}

/** A version's adapter as the writer holds it. */
export interface AdapterModel {
  handle: AdapterHandle
  reservedBytes: number
  /** The names of the files of A and B in the snapshot folder. */
  files: string[]
}

/** What the data directory holds of a version. */
export interface StoredVersion {
  /** At most two snapshots, the newest last. */
  snapshots: CatalogSnapshot[]
  /**
   * The sequence that a start would restore. It is less than the version's when updates of mode `none` came
   * since.
   */
  durableSequence: number
  /** The bytes of the records since the newest snapshot began. */
  journalBytes: number
  /**
   * The number of snapshots and durability changes in progress. While there are any, updates of mode `none`
   * are journaled too.
   */
  journalPins: number
}

/** The sequences of a version, apart from the last one, which the control words hold. */
export interface SequenceReserve {
  /** No update has had a higher sequence. The catalog holds this number. */
  reserved: number
  /** The next update has a higher sequence; if this is above the last one, those between are skipped. */
  floor: number
  /** The sequences that were taken back. The last of these is not in the catalog before the next update. */
  skips: CatalogSkip[]
}

/** A version as the writer holds it. */
export interface VersionModel {
  handle: VersionHandle
  table: TableWriter
  reservedBytes: number
  state: OptimizerState | null
  adapter: AdapterModel | null
  stored: StoredVersion
  /**
   * The sequence and step after the updates that are computed but not yet visible; null when there are none.
   */
  planned: { sequence: number; step: number } | null
  sequences: SequenceReserve
  /** The keys of former adapters that lookups still add. */
  leavingAdapters: Set<string>
}

export interface TableModel {
  /** The id, which no other table ever gets, although another one may get the name. */
  id: number
  name: string
  settings: Settings
  createdAt: number
  changedAt: number
  highest: number
  /** Raised each time the optimizer state is dropped, so that a start ignores older state on disk. */
  stateEpoch: number
  /** Raised by each change of what clients see of the table, except its data. */
  revision: number
  /** The versions that aliases name, which stay beyond `keep_versions`. */
  held: HeldVersions
  current: VersionModel
  versions: Map<number, VersionModel>
}

/** A version that one HTTP worker fills; nobody else sees it. */
export interface Build {
  arguments: BeginArguments
  handle: VersionHandle
  reservedBytes: number
  /** The optimizer state that is uploaded with the rows. */
  state: OptimizerState | null
}

/** The state that preconditions are compared with; undefined when there is no such table. */
export const currentState = (table: TableModel | undefined): CurrentState =>
  table && {
    name: table.name,
    version: table.current.handle.version,
    sequence: lastSequence(table.current),
    revision: table.revision,
  }

/** The sequence after which the next update comes. */
export const lastSequence = ({ table, planned }: VersionModel): number =>
  planned?.sequence ?? table.readSequence()

/** The record of a table that HTTP workers get. */
export const toRecord = (table: TableModel): TableHandle => ({
  held: table.held,
  name: table.name,
  settings: table.settings,
  createdAt: table.createdAt,
  changedAt: table.changedAt,
  revision: table.revision,
  current: table.current.handle.version,
  versions: [...table.versions.values()].map((model) => model.handle).sort((a, b) => a.version - b.version),
  adapters: [...table.versions.values()].flatMap(({ adapter }) => (adapter === null ? [] : [adapter.handle])),
})

/**
 * Returns the settings after a change. Refuses (INVALID_REQUEST) a padding index that names no row of a table
 * of `rows` rows.
 */
export const mergeSettings = (before: Settings, changes: Partial<Settings>, rows: number): Settings => {
  checkPaddingIndex(changes.padding_index, rows)
  return { ...before, ...changes }
}

/**
 * Reserves memory for a new version of a table. Refuses PRECONDITION_FAILED, MEMORY_QUOTA_EXCEEDED, and
 * INVALID_REQUEST for a padding index outside the table.
 */
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
    memory.release(reservedBytes, memoriesOf(segments))
    throw error
  }
}

/**
 * Refuses (PRECONDITION_FAILED) uploaded state of another kind than the table's optimizer. The HTTP worker
 * has checked it already, but the optimizer may have changed since.
 */
export const checkStateKind = ({ stateKind }: BeginArguments, { kind }: Optimizer): void => {
  if (stateKind === undefined || stateKind === kind) return
  refuse(
    'PRECONDITION_FAILED',
    `the upload brings the state of ${stateKind}, but the table's optimizer has become ${kind}`,
  )
}

/** Frees the memory of a build that will not become a version. */
export const releaseBuild = (build: Build, memory: TableMemory): void =>
  memory.release(build.reservedBytes + (build.state?.reservedBytes ?? 0), [
    ...memoriesOf(build.handle.segments),
    ...stateMemories(build.state),
  ])
