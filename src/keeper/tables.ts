import { assert } from '../core/assert.ts'
import { refuse } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { Optimizer, Settings } from '../core/types.ts'
import type { AdapterHandle, TableRecord, VersionHandle } from '../tables/handles.ts'
import { rowBytes } from '../tables/layout.ts'
import type { TableMemory } from '../tables/memory.ts'
import { type CurrentState, checkPrecondition } from '../tables/precondition.ts'
import { TableVersion } from '../tables/table.ts'
import type { BeginArguments } from './protocol.ts'
import { createState, dropState, type OptimizerState } from './state.ts'

/** What a table is until somebody says otherwise. */
export const DEFAULT_SETTINGS: Settings = {
  out_of_range: 'error',
  fill_value: null,
  padding_index: null,
  optimizer: { kind: 'sgd', learning_rate: 0.01 },
  durability: 'disk',
  keep_versions: 2,
}

/** A version's adapter as the keeper holds it. */
export interface KeeperAdapter {
  handle: AdapterHandle
  reservedBytes: number
}

/** A version as the keeper holds it. */
export interface KeeperVersion {
  handle: VersionHandle
  table: TableVersion
  reservedBytes: number
  state: OptimizerState | null
  adapter: KeeperAdapter | null
  /** Keys of adapters before it that lookups still add. */
  leavingAdapters: Set<string>
}

export interface KeeperTable {
  name: string
  settings: Settings
  createdAt: number
  changedAt: number
  highest: number
  current: KeeperVersion
  versions: Map<number, KeeperVersion>
}

/** A version that is being filled. Nobody but the front that fills it sees it. */
export interface Build {
  arguments: BeginArguments
  handle: VersionHandle
  reservedBytes: number
  /** State that comes with the rows. */
  state: OptimizerState | null
}

/** What conditions are about; undefined: there is no such table. */
export const currentState = (table: KeeperTable | undefined): CurrentState =>
  table && { version: table.current.handle.version, sequence: table.current.table.readSequence() }

/** What the fronts are told. */
export const toRecord = (table: KeeperTable): TableRecord => ({
  name: table.name,
  settings: table.settings,
  createdAt: table.createdAt,
  changedAt: table.changedAt,
  current: table.current.handle.version,
  versions: [...table.versions.values()].map((version) => version.handle).sort((a, b) => a.version - b.version),
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
  tables: ReadonlyMap<string, KeeperTable>,
  memory: TableMemory,
  key: string,
  begin: BeginArguments,
  nowMs: number,
): Build => {
  const table = tables.get(begin.name)
  checkPrecondition(begin.precondition, currentState(table))
  if (table === undefined && tables.size >= LIMITS.tableCountMax) {
    refuse('MEMORY_QUOTA_EXCEEDED', `there are ${LIMITS.tableCountMax} tables already, the most this service holds`)
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

/** The front has checked it against the optimizer that it knew: somebody has changed it since. */
const checkStateKind = ({ stateKind }: BeginArguments, { kind }: Optimizer): void => {
  if (stateKind === undefined || stateKind === kind) return
  refuse('PRECONDITION_FAILED', `the upload brings the state of ${stateKind}, but the table's optimizer has become ${kind}`)
}

/** Another adapter has no effect on the sequence before every front knows of it: the key tells earlier. */
const checkAdapterKey = ({ adapterKey }: BeginArguments, table: KeeperTable | undefined): void => {
  if (adapterKey === undefined || table?.current.adapter?.handle.key === adapterKey) return
  refuse('PRECONDITION_FAILED', 'the adapter was replaced or deleted while it was being merged')
}

/** Gives the memory of a build back that nobody will read. */
export const releaseBuild = (build: Build, memory: TableMemory): void =>
  memory.release(build.reservedBytes + (build.state?.reservedBytes ?? 0))

/**
 * Makes a build the current version, `step` gradient steps old. Conditions are checked again, since others may have changed the table meanwhile.
 * Returns the table and the versions that nobody should read from now on.
 */
export const commitBuild = (
  tables: Map<string, KeeperTable>,
  memory: TableMemory,
  build: Build,
  { step, nowMs }: { step: number; nowMs: number },
): { table: KeeperTable; created: boolean; retired: KeeperVersion[] } => {
  const { name, precondition, settings } = build.arguments
  const before = tables.get(name)
  checkPrecondition(precondition, currentState(before))
  checkAdapterKey(build.arguments, before)
  const number = (before?.highest ?? 0) + 1
  const handle = { ...build.handle, version: number, createdAt: nowMs }
  const merged = mergeSettings(before?.settings ?? DEFAULT_SETTINGS, settings, handle.rows)
  checkStateKind(build.arguments, merged.optimizer)
  if (before !== undefined && before.settings.optimizer.kind !== merged.optimizer.kind) resetStates(before, memory)
  const { reservedBytes, state } = build
  const version: KeeperVersion = {
    handle,
    table: new TableVersion(handle),
    reservedBytes,
    state,
    adapter: null,
    leavingAdapters: new Set(),
  }
  state?.touched.fill(1)
  version.table.writeStep(step)
  const table: KeeperTable = {
    name,
    settings: merged,
    createdAt: before?.createdAt ?? nowMs,
    changedAt: nowMs,
    highest: number,
    current: version,
    versions: new Map([...(before?.versions ?? []), [number, version]]),
  }
  tables.set(name, table)
  return { table, created: before === undefined, retired: trimVersions(table) }
}

/** State of another kind of optimizer means nothing to the new one, nor do its steps: every version begins anew. */
export const resetStates = (table: KeeperTable, memory: TableMemory): void => {
  for (const version of table.versions.values()) {
    if (version.state !== null) dropState(version.state, memory)
    version.state = null
    version.table.writeStep(0)
  }
}

/** Takes out all but the newest `keep_versions` versions and the current one. */
export const trimVersions = (table: KeeperTable): KeeperVersion[] => {
  const newestFirst = [...table.versions.keys()].sort((a, b) => b - a)
  const retired: KeeperVersion[] = []
  for (const number of newestFirst.slice(table.settings.keep_versions)) {
    const version = table.versions.get(number)
    assert(version !== undefined, 'a listed version exists')
    if (version === table.current) continue
    table.versions.delete(number)
    retired.push(version)
  }
  return retired
}
