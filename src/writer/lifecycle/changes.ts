import type { Durability, Precondition, Settings } from '../../core/types.ts'
import { checkPrecondition } from '../../tables/precondition.ts'
import { refuseAlias } from './aliases.ts'
import type { CatalogChange } from '../../storage/catalog-rows.ts'
import { failpoint } from '../../storage/failpoints.ts'
import { writeSnapshot } from '../../storage/snapshot-write.ts'
import type { KeeperParts } from '../dependencies.ts'
import type { KeeperCalls } from '../protocol.ts'
import { toCatalogChanges, toCatalogSnapshot, toCatalogVersion, toSnapshotFacts, toSnapshotMemory } from './to-catalog.ts'
import { type Build, currentState, type KeeperTable, type KeeperVersion, releaseBuild, toRecord } from './table-model.ts'
import { finishBuild, planReplacement, planRollback, planSettings, resetStates, type TableChange } from './versions.ts'

/*
 * Changes of what a table is. In this order: the catalog says so, on disk; then memory; then every front; then the answer. What a crash leaves behind
 * is what the catalog says, and files and records that it does not list are removed by the next start. To be called under the table's lock.
 */

/** Makes a build the current version of its table: its rows are on disk first. Refuses PRECONDITION_FAILED, DISK_FULL; then the build is gone. */
export const commitBuild = async (keeper: KeeperParts, build: Build, step: number): Promise<KeeperCalls['commit']['answer']> => {
  const { name, settings } = build.arguments
  let hasBegun = false
  try {
    return await withVersionsCovered(keeper, keeper.tables.get(name), settings.durability, () => {
      hasBegun = true
      return replaceTable(keeper, build, step)
    })
  } catch (error) {
    if (!hasBegun) releaseBuild(build, keeper.memory)
    throw error
  }
}

const replaceTable = async (keeper: KeeperParts, build: Build, step: number): Promise<KeeperCalls['commit']['answer']> => {
  const { store, forgetting } = keeper.opened
  const { name } = build.arguments
  const find = (): KeeperTable | undefined => keeper.tables.get(name)
  let file: string | null = null
  let change: TableChange
  try {
    const nowMs = Date.now()
    const version = finishBuild(build, find(), { step, nowMs })
    const id = find()?.id ?? store.takeId()
    const facts = toSnapshotFacts(planReplacement(build, version, find(), id).table, version)
    const written = await writeSnapshot(store.paths.snapshots, facts, toSnapshotMemory(version)).catch((error: unknown) => {
      throw store.judge('the rows of an upload', error)
    })
    file = written.file
    failpoint('version:written')
    // Updates may have moved the sequence that a condition names, and an alias taken the name.
    refuseAlias(keeper, name)
    change = planReplacement(build, version, find(), id)
    const end = { endSequence: 0, stateEpoch: change.table.stateEpoch, nowMs }
    const snapshot = toCatalogSnapshot(store.takeId(), facts, written, end)
    version.stored.snapshots = [snapshot]
    store.commit({ changes: [...toCatalogChanges(change), toCatalogVersion(id, version), { kind: 'put-snapshot', snapshot }] })
  } catch (error) {
    releaseBuild(build, keeper.memory)
    if (file !== null) forgetting.unlisted(file)
    throw error
  }
  await adopt(keeper, change)
  return { created: change.before === undefined, version: change.table.current.handle.version }
}

/** Changes settings. Refuses PRECONDITION_FAILED, INVALID_REQUEST, DISK_FULL. */
export const changeSettings = async (
  keeper: KeeperParts,
  { name, settings, precondition }: { name: string; settings: Partial<Settings>; precondition: Precondition },
): Promise<void> => {
  const plan = (): TableChange => {
    const table = keeper.find(name)
    checkPrecondition(precondition, currentState(table))
    return planSettings(table, settings, Date.now())
  }
  const { before } = plan()
  await withVersionsCovered(keeper, before, settings.durability, async () => {
    const change = plan()
    keeper.opened.store.commit({ changes: toCatalogChanges(change) })
    await adopt(keeper, change)
  })
}

/**
 * Runs `change`. When it makes a table's updates journaled that were not, every version is written first: each may be current again one day, and its
 * journal would have a gap. Until the catalog says that they are journaled, nothing may be acknowledged that is not.
 */
const withVersionsCovered = async <Result>(
  keeper: KeeperParts,
  before: KeeperTable | undefined,
  durability: Durability | undefined,
  change: () => Promise<Result>,
): Promise<Result> => {
  if (before?.settings.durability !== 'none' || durability === undefined || durability === 'none') return change()
  const versions = [...before.versions.values()]
  for (const { stored } of versions) stored.journalHolders++
  try {
    for (const version of versions.filter(isUncovered)) await keeper.opened.snapshots.take(before, version)
    return await change()
  } finally {
    for (const { stored } of versions) stored.journalHolders--
  }
}

/** Makes an earlier version current. Refuses VERSION_NOT_FOUND, PRECONDITION_FAILED, DISK_FULL. */
export const rollBack = async (
  keeper: KeeperParts,
  { name, version, precondition }: { name: string; version: number; precondition: Precondition },
): Promise<void> => {
  const table = keeper.find(name)
  checkPrecondition(precondition, currentState(table))
  const change = planRollback(table, version, Date.now())
  keeper.opened.store.commit({ changes: toCatalogChanges(change) })
  await adopt(keeper, change)
}

/** Takes a table away. Refuses TABLE_NOT_FOUND, PRECONDITION_FAILED, DISK_FULL. */
export const removeTable = async (keeper: KeeperParts, name: string, precondition: Precondition): Promise<void> => {
  const table = keeper.find(name)
  checkPrecondition(precondition, currentState(table))
  const change: CatalogChange = { kind: 'delete-table', tableId: table.id }
  keeper.opened.store.commit({ changes: [change] })
  failpoint('catalog:changed')
  keeper.tables.delete(name)
  await publish(keeper, table, [...table.versions.values()])
}

/** The catalog has it: now memory and fronts. */
const adopt = async (keeper: KeeperParts, { table, before, retired, dropsState }: TableChange): Promise<void> => {
  failpoint('catalog:changed')
  if (dropsState && before !== undefined) resetStates(before.versions.values(), keeper.memory)
  keeper.tables.set(table.name, table)
  await publish(keeper, table, retired)
}

/** Tells every front what the table is now, if it is, and forgets the versions that left it. */
const publish = async (keeper: KeeperParts, { id, name }: KeeperTable, retired: readonly KeeperVersion[]): Promise<void> => {
  const { fronts, opened } = keeper
  for (const { handle, reservedBytes, state, adapter } of retired) {
    fronts.retire(handle.key, reservedBytes + (state?.reservedBytes ?? 0))
    if (adapter !== null) fronts.retire(adapter.handle.key, adapter.reservedBytes)
  }
  const table = keeper.tables.get(name)
  await fronts.publish(name, table === undefined ? null : toRecord(table))
  failpoint('publish:done')
  for (const { handle, stored, adapter } of retired) {
    opened.forgetting.records(id, handle.version, Number.MAX_SAFE_INTEGER)
    opened.forgetting.files([...stored.snapshots.map(({ file }) => file), ...(adapter?.files ?? [])])
  }
}

const isUncovered = ({ stored, table }: KeeperVersion): boolean => stored.coveredThrough < table.readSequence()
