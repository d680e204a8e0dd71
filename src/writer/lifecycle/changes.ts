import type { Durability, Precondition, Settings } from '../../core/types.ts'
import { checkPrecondition } from '../../tables/precondition.ts'
import { refuseAlias } from './aliases.ts'
import type { CatalogChange } from '../../storage/catalog-rows.ts'
import { failpoint } from '../../storage/failpoints.ts'
import { writeSnapshot } from '../../storage/snapshot-write.ts'
import type { WriterDependencies } from '../dependencies.ts'
import type { WriterCalls } from '../protocol.ts'
import {
  toCatalogChanges,
  toCatalogSnapshot,
  toCatalogVersion,
  toSnapshotFacts,
  toSnapshotMemory,
} from './to-catalog.ts'
import {
  type Build,
  currentState,
  type TableModel,
  type VersionModel,
  releaseBuild,
  toRecord,
} from './table-model.ts'
import {
  finishBuild,
  planReplacement,
  planRollback,
  planSettings,
  resetStates,
  type TableChange,
} from './versions.ts'

/*
 * Changes of what a table is. In this order: the catalog says so, on disk; then memory; then every HTTP worker; then the answer. What a crash leaves behind
 * is what the catalog says, and files and records that it does not list are removed by the next start. To be called under the table's lock.
 */

/** Makes a build the current version of its table: its rows are on disk first. Refuses PRECONDITION_FAILED, DISK_FULL; then the build is gone. */
export const commitBuild = async (
  writer: WriterDependencies,
  build: Build,
  step: number,
): Promise<WriterCalls['commitBuild']['answer']> => {
  const { name, settings } = build.arguments
  let hasBegun = false
  try {
    return await withVersionsCovered(writer, writer.tables.get(name), settings.durability, () => {
      hasBegun = true
      return replaceTable(writer, build, step)
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
): Promise<WriterCalls['commitBuild']['answer']> => {
  const { store, cleanup } = writer.opened
  const { name } = build.arguments
  const find = (): TableModel | undefined => writer.tables.get(name)
  let file: string | null = null
  let change: TableChange
  try {
    const nowMs = Date.now()
    const version = finishBuild(build, find(), { step, nowMs })
    const id = find()?.id ?? store.takeId()
    const facts = toSnapshotFacts(planReplacement(build, version, find(), id).table, version)
    const written = await writeSnapshot(store.paths.snapshots, facts, toSnapshotMemory(version)).catch(
      (error: unknown) => {
        throw store.classify('the rows of an upload', error)
      },
    )
    file = written.file
    failpoint('version:written')
    // Updates may have moved the sequence that a condition names, and an alias taken the name.
    refuseAlias(writer, name)
    change = planReplacement(build, version, find(), id)
    const end = { endSequence: 0, stateEpoch: change.table.stateEpoch, nowMs }
    const snapshot = toCatalogSnapshot(store.takeId(), facts, written, end)
    version.stored.snapshots = [snapshot]
    store.commit({
      changes: [
        ...toCatalogChanges(change),
        toCatalogVersion(id, version),
        { kind: 'put-snapshot', snapshot },
      ],
    })
  } catch (error) {
    releaseBuild(build, writer.memory)
    if (file !== null) cleanup.unlisted(file)
    throw error
  }
  await adopt(writer, change)
  return { created: change.before === undefined, version: change.table.current.handle.version }
}

/** Changes settings. Refuses PRECONDITION_FAILED, INVALID_REQUEST, DISK_FULL. */
export const changeSettings = async (
  writer: WriterDependencies,
  { name, settings, precondition }: { name: string; settings: Partial<Settings>; precondition: Precondition },
): Promise<void> => {
  const plan = (): TableChange => {
    const table = writer.find(name)
    checkPrecondition(precondition, currentState(table))
    return planSettings(table, settings, Date.now())
  }
  const { before } = plan()
  await withVersionsCovered(writer, before, settings.durability, async () => {
    const change = plan()
    writer.opened.store.commit({ changes: toCatalogChanges(change) })
    await adopt(writer, change)
  })
}

/**
 * Runs `change`. When it makes a table's updates journaled that were not, every version is written first: each may be current again one day, and its
 * journal would have a gap. Until the catalog says that they are journaled, nothing may be acknowledged that is not.
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
    for (const version of versions.filter(isUncovered)) await writer.opened.snapshots.take(before, version)
    return await change()
  } finally {
    for (const { stored } of versions) stored.journalPins--
  }
}

/** Makes an earlier version current. Refuses VERSION_NOT_FOUND, PRECONDITION_FAILED, DISK_FULL. */
export const rollBack = async (
  writer: WriterDependencies,
  { name, version, precondition }: { name: string; version: number; precondition: Precondition },
): Promise<void> => {
  const table = writer.find(name)
  checkPrecondition(precondition, currentState(table))
  const change = planRollback(table, version, Date.now())
  writer.opened.store.commit({ changes: toCatalogChanges(change) })
  await adopt(writer, change)
}

/** Takes a table away. Refuses TABLE_NOT_FOUND, PRECONDITION_FAILED, DISK_FULL. */
export const removeTable = async (
  writer: WriterDependencies,
  name: string,
  precondition: Precondition,
): Promise<void> => {
  const table = writer.find(name)
  checkPrecondition(precondition, currentState(table))
  const change: CatalogChange = { kind: 'delete-table', tableId: table.id }
  writer.opened.store.commit({ changes: [change] })
  failpoint('catalog:changed')
  writer.tables.delete(name)
  await publish(writer, table, [...table.versions.values()])
}

/** The catalog has it: now memory and HTTP workers. */
const adopt = async (
  writer: WriterDependencies,
  { table, before, retired, dropsState }: TableChange,
): Promise<void> => {
  failpoint('catalog:changed')
  if (dropsState && before !== undefined) resetStates(before.versions.values(), writer.memory)
  writer.tables.set(table.name, table)
  await publish(writer, table, retired)
}

/** Tells every HTTP worker what the table is now, if it is, and forgets the versions that left it. */
const publish = async (
  writer: WriterDependencies,
  { id, name }: TableModel,
  retired: readonly VersionModel[],
): Promise<void> => {
  const { httpWorkers, opened } = writer
  for (const { handle, reservedBytes, state, adapter } of retired) {
    httpWorkers.retire(handle.key, reservedBytes + (state?.reservedBytes ?? 0))
    if (adapter !== null) httpWorkers.retire(adapter.handle.key, adapter.reservedBytes)
  }
  const table = writer.tables.get(name)
  await httpWorkers.publish(name, table === undefined ? null : toRecord(table))
  failpoint('publish:done')
  for (const { handle, stored, adapter } of retired) {
    opened.cleanup.records(id, handle.version, Number.MAX_SAFE_INTEGER)
    opened.cleanup.files([...stored.snapshots.map(({ file }) => file), ...(adapter?.files ?? [])])
  }
}

const isUncovered = ({ stored, table }: VersionModel): boolean =>
  stored.durableSequence < table.readSequence()
