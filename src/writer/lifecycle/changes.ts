/**
 * Changes of a table as a whole: its versions, its settings, its removal.
 * Each change reaches the catalog on disk first, then memory, then every HTTP worker, and then it is
 * answered. After a crash the catalog decides: the next start removes files and records that it does not
 * list. Every function here is called under the table's lock.
 */
import type { Durability } from '../../core/types.ts'
import { checkPrecondition } from '../../tables/precondition.ts'
import { refuseAlias } from './aliases.ts'
import type { CatalogChange } from '../../storage/catalog-rows.ts'
import { failpoint } from '../../storage/failpoints.ts'
import { writeSnapshot } from '../../storage/snapshot-write.ts'
import type { WriterDependencies } from '../dependencies.ts'
import type { ChangedTable, ChangeKey, WriterCalls } from '../protocol.ts'
import {
  toCatalogChanges,
  toCatalogSnapshot,
  toCatalogVersion,
  toSnapshotFacts,
  toSnapshotMemory,
} from './to-catalog.ts'
import { type Build, currentState, type TableModel, type VersionModel, releaseBuild } from './table-model.ts'
import { describeChanged, publishTable } from './publish.ts'
import {
  finishBuild,
  planReplacement,
  planRollback,
  planSettings,
  resetStates,
  type TableChange,
} from './versions.ts'

/**
 * Makes a build the current version of its table, after its rows are on disk. Refuses PRECONDITION_FAILED and
 * DISK_FULL, after which the build is discarded.
 */
export const commitBuild = async (
  writer: WriterDependencies,
  build: Build,
  { step = 0, key }: Omit<WriterCalls['commitBuild']['argument'], 'buildId'>,
): Promise<WriterCalls['commitBuild']['answer']> => {
  const { name, settings } = build.arguments
  let hasBegun = false
  try {
    return await withVersionsCovered(writer, writer.tables.get(name), settings.durability, () => {
      hasBegun = true
      return replaceTable(writer, build, step, key)
    })
  } catch (error) {
    if (!hasBegun) releaseBuild(build, writer.memory)
    throw error
  }
}

const replaceTable = async (
  writer: WriterDependencies,
  build: Build,
  step: number,
  key: ChangeKey | undefined,
): Promise<WriterCalls['commitBuild']['answer']> => {
  const { store, cleanup, changeKeys } = writer.storage
  const { name } = build.arguments
  const find = (): TableModel | undefined => writer.tables.get(name)
  let file: string | null = null
  let change: TableChange
  let answer: WriterCalls['commitBuild']['answer']
  try {
    const nowMs = Date.now()
    const formerHighest = writer.formerTables.highestOf(name)
    const model = finishBuild(build, find(), { step, nowMs, formerHighest })
    const id = find()?.id ?? store.takeId()
    const facts = toSnapshotFacts(planReplacement(build, model, find(), id).table, model)
    const written = await writeSnapshot(store.paths.snapshots, facts, toSnapshotMemory(model)).catch(
      (error: unknown) => {
        throw store.classify('the rows of an upload', error)
      },
    )
    file = written.file
    failpoint('version:written')
    // During the write, updates may have moved the sequence that a condition names, and an alias may have
    // taken the name.
    refuseAlias(writer, name)
    change = planReplacement(build, model, find(), id)
    const end = { endSequence: 0, stateEpoch: change.table.stateEpoch, nowMs }
    const snapshot = toCatalogSnapshot(store.takeId(), facts, written, end)
    model.stored.snapshots = [snapshot]
    const former = writer.formerTables.planCreation(name)
    answer = {
      created: change.before === undefined,
      version: model.handle.version,
      ...describeChanged(change.table),
    }
    store.commit({
      changes: [
        ...toCatalogChanges(change),
        toCatalogVersion(id, model),
        { kind: 'put-snapshot', snapshot },
        ...former.changes,
      ],
      keys: changeKeys.describe(key, answer),
    })
    former.confirm()
  } catch (error) {
    releaseBuild(build, writer.memory)
    if (file !== null) cleanup.unlisted(file)
    throw error
  }
  await adopt(writer, change)
  return answer
}

/** Changes settings. Refuses PRECONDITION_FAILED, INVALID_REQUEST, DISK_FULL. */
export const changeSettings = async (
  writer: WriterDependencies,
  { name, settings, precondition, key }: WriterCalls['patch']['argument'],
): Promise<ChangedTable> => {
  const plan = (): TableChange => {
    const table = writer.find(name)
    checkPrecondition(precondition, currentState(table))
    return planSettings(table, settings, Date.now())
  }
  const { before } = plan()
  return withVersionsCovered(writer, before, settings.durability, () => commitPlan(writer, plan(), key))
}

/**
 * Runs `change`. When it turns a table's journal on, a snapshot of every version is written first, because
 * each may become current again and its journal must not have a gap. The pins make updates journaled
 * meanwhile, so that none is acknowledged that neither a snapshot nor the journal holds.
 */
const withVersionsCovered = async <Result>(
  writer: WriterDependencies,
  before: TableModel | undefined,
  durability: Durability | undefined,
  change: () => Promise<Result>,
): Promise<Result> => {
  if (before?.settings.durability !== 'none' || durability === undefined || durability === 'none')
    return change()
  const versions = [...before.versions.values()]
  for (const { stored } of versions) stored.journalPins++
  try {
    for (const model of versions.filter(isUncovered)) await writer.storage.snapshots.take(before, model)
    return await change()
  } finally {
    for (const { stored } of versions) stored.journalPins--
  }
}

/** Makes an earlier version current. Refuses VERSION_NOT_FOUND, PRECONDITION_FAILED, DISK_FULL. */
export const rollBack = async (
  writer: WriterDependencies,
  { name, version, precondition, key }: WriterCalls['rollback']['argument'],
): Promise<ChangedTable> => {
  const table = writer.find(name)
  checkPrecondition(precondition, currentState(table))
  return commitPlan(writer, planRollback(table, version, Date.now()), key)
}

/** Commits a planned change of a table that exists, together with its key. */
const commitPlan = async (
  writer: WriterDependencies,
  change: TableChange,
  key: ChangeKey | undefined,
): Promise<ChangedTable> => {
  const { store, changeKeys } = writer.storage
  const answer = describeChanged(change.table)
  store.commit({ changes: toCatalogChanges(change), keys: changeKeys.describe(key, answer) })
  await adopt(writer, change)
  return answer
}

/** Deletes a table. Refuses TABLE_NOT_FOUND, PRECONDITION_FAILED, DISK_FULL. */
export const removeTable = async (
  writer: WriterDependencies,
  { name, precondition, key }: WriterCalls['remove']['argument'],
): Promise<void> => {
  const table = writer.find(name)
  checkPrecondition(precondition, currentState(table))
  const { store, changeKeys } = writer.storage
  const change: CatalogChange = { kind: 'delete-table', tableId: table.id }
  const former = writer.formerTables.planDeletion(name, table.highest, store.takeId())
  store.commit({ changes: [change, ...former.changes], keys: changeKeys.describe(key, null) })
  former.confirm()
  failpoint('catalog:changed')
  writer.tables.delete(name)
  await publishTable(writer, table, [...table.versions.values()])
}

/** Applies a change that the catalog holds to memory, and publishes it. */
const adopt = async (
  writer: WriterDependencies,
  { table, before, retired, dropsState }: TableChange,
): Promise<void> => {
  failpoint('catalog:changed')
  if (dropsState && before !== undefined) resetStates(before.versions.values(), writer.memory)
  writer.tables.set(table.name, table)
  await publishTable(writer, table, retired)
}

/**
 * Runs `change`, which takes a sequence of the current version that a start has to find again although
 * updates of mode `none` are in no journal. Updates before it are in a snapshot then.
 */
export const withCurrentJournaled = async <Result>(
  writer: WriterDependencies,
  table: TableModel,
  change: () => Promise<Result>,
): Promise<Result> => {
  if (table.settings.durability !== 'none') return change()
  const { current } = table
  current.stored.journalPins++
  try {
    if (isUncovered(current)) await writer.storage.snapshots.take(table, current)
    return await change()
  } finally {
    current.stored.journalPins--
  }
}

const isUncovered = ({ stored, table }: VersionModel): boolean =>
  stored.durableSequence < table.readSequence()
