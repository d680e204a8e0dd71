/** Plans changes of a table's versions and settings. A plan changes nothing by itself. */
import { refuse } from '../../core/errors.ts'
import type { Settings } from '../../core/types.ts'
import type { HeldVersions } from '../../tables/handles.ts'
import type { TableMemory } from '../../tables/memory.ts'
import { checkPrecondition } from '../../tables/precondition.ts'
import { TableWriter } from '../../tables/table-writer.ts'
import type { BeginArguments } from '../protocol.ts'
import { dropState } from './optimizer-state.ts'
import { openReserve } from './sequences.ts'
import {
  type Build,
  checkStateKind,
  currentState,
  DEFAULT_SETTINGS,
  type TableModel,
  type VersionModel,
  mergeSettings,
} from './table-model.ts'

/** The planned outcome of a change. The catalog gets it first, then memory, then the HTTP workers. */
export interface TableChange {
  table: TableModel
  before: TableModel | undefined
  /** Versions that leave the table, to be retired. */
  retired: VersionModel[]
  /** Whether the optimizer changes kind, so that the state and the steps of every version are dropped. */
  dropsState: boolean
}

/**
 * Refuses a merge whose adapter was replaced. An adapter changes the sequence only once every HTTP worker
 * knows it; the key tells earlier.
 */
const checkAdapterKey = ({ adapterKey }: BeginArguments, table: TableModel | undefined): void => {
  if (adapterKey === undefined || table?.current.adapter?.handle.key === adapterKey) return
  refuse('PRECONDITION_FAILED', 'the adapter was replaced or deleted while it was being merged')
}

/**
 * Turns a build into a version. Its number is the highest ever used plus one, and all its state counts as
 * written. `step` is the number of gradient steps behind the state, `formerHighest` the highest version of
 * deleted tables of the name.
 */
export const finishBuild = (
  build: Build,
  before: TableModel | undefined,
  { step, nowMs, formerHighest = 0 }: { step: number; nowMs: number; formerHighest?: number },
): VersionModel => {
  const handle = { ...build.handle, version: (before?.highest ?? formerHighest) + 1, createdAt: nowMs }
  const table = new TableWriter(handle)
  build.state?.touched.fill(1)
  table.writeStep(step)
  return {
    handle,
    table,
    reservedBytes: build.reservedBytes,
    state: build.state,
    adapter: null,
    stored: { snapshots: [], durableSequence: 0, journalBytes: 0, journalPins: 0 },
    planned: null,
    sequences: openReserve(),
    leavingAdapters: new Set(),
  }
}

/**
 * Plans that a version becomes the current one of its table, or of the new table `id`. It checks the
 * conditions again, because the table may have changed since. Refuses PRECONDITION_FAILED, and
 * INVALID_REQUEST for a padding index outside the table.
 */
export const planReplacement = (
  build: Build,
  model: VersionModel,
  before: TableModel | undefined,
  id: number,
): TableChange => {
  checkBuild(build, before)
  const { name, settings } = build.arguments
  const { createdAt, rows, version: number } = model.handle
  const merged = mergeSettings(before?.settings ?? DEFAULT_SETTINGS, settings, rows)
  checkStateKind(build.arguments, merged.optimizer)
  const dropsState = before !== undefined && before.settings.optimizer.kind !== merged.optimizer.kind
  const table: TableModel = {
    id,
    name,
    settings: merged,
    createdAt: before?.createdAt ?? createdAt,
    changedAt: createdAt,
    highest: number,
    stateEpoch: (before?.stateEpoch ?? 0) + (dropsState ? 1 : 0),
    revision: (before?.revision ?? 0) + (hasChanged(before?.settings, merged) ? 1 : 0),
    held: before?.held ?? new Map(),
    current: model,
    versions: new Map([...(before?.versions ?? []), [number, model]]),
  }
  return { table, before, retired: trimVersions(table), dropsState }
}

const hasChanged = (before: Settings | undefined, after: Settings): boolean =>
  before !== undefined && JSON.stringify(before) !== JSON.stringify(after)

const checkBuild = (build: Build, before: TableModel | undefined): void => {
  checkPrecondition(build.arguments.precondition, currentState(before))
  checkAdapterKey(build.arguments, before)
}

/** Plans other settings. Refuses INVALID_REQUEST for a padding index outside the table. */
export const planSettings = (before: TableModel, changes: Partial<Settings>, nowMs: number): TableChange => {
  const settings = mergeSettings(before.settings, changes, before.current.handle.rows)
  const dropsState = settings.optimizer.kind !== before.settings.optimizer.kind
  const stateEpoch = before.stateEpoch + (dropsState ? 1 : 0)
  const table = {
    ...before,
    settings,
    changedAt: nowMs,
    stateEpoch,
    revision: before.revision + 1,
    versions: new Map(before.versions),
  }
  return { table, before, retired: trimVersions(table), dropsState }
}

/** Plans that an earlier version becomes current again, with its updates. Refuses VERSION_NOT_FOUND. */
export const planRollback = (before: TableModel, number: number, nowMs: number): TableChange => {
  const current = before.versions.get(number)
  if (current === undefined) {
    const readable = [...before.versions.keys()].sort((a, b) => a - b).join(', ')
    return refuse(
      'VERSION_NOT_FOUND',
      `table ${JSON.stringify(before.name)} has no version ${number}; readable: ${readable}`,
    )
  }
  const table = {
    ...before,
    current,
    changedAt: nowMs,
    // The times in TableInfo change even when the table returns to a version that it had.
    revision: before.revision + 1,
    versions: new Map(before.versions),
  }
  return { table, before, retired: trimVersions(table), dropsState: false }
}

/** Plans that aliases name other versions of the table. Those that none names any more may leave it. */
export const planHeld = (before: TableModel, held: HeldVersions): TableChange => {
  const table = { ...before, held, revision: before.revision + 1, versions: new Map(before.versions) }
  return { table, before, retired: trimVersions(table), dropsState: false }
}

/** Splits off all versions but the newest `keep_versions`, the current one and those that aliases hold. */
const trimVersions = (table: TableModel): VersionModel[] => {
  const retired = [...table.versions.values()]
    .sort((a, b) => b.handle.version - a.handle.version)
    .slice(table.settings.keep_versions)
    .filter((model) => model !== table.current && !table.held.has(model.handle.version))
  for (const { handle } of retired) table.versions.delete(handle.version)
  return retired
}

/** Drops the state and the steps of every version, which mean nothing to an optimizer of another kind. */
export const resetStates = (versions: Iterable<VersionModel>, memory: TableMemory): void => {
  for (const model of versions) {
    if (model.state !== null) dropState(model.state, memory)
    model.state = null
    model.table.writeStep(0)
  }
}
