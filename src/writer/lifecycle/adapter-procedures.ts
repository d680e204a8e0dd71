import { refuse } from '../../core/errors.ts'
import type { TableMemory } from '../../tables/memory.ts'
import { checkPrecondition } from '../../tables/precondition.ts'
import { writeAdapter } from './adapter-files.ts'
import type { CatalogChange } from '../../storage/catalog-rows.ts'
import type { Store } from '../../storage/store.ts'
import type { Forgetting } from '../upkeep/cleanup.ts'
import { type AdapterBuild, attachAdapter, beginAdapter, checkAdapter, countChange, detachAdapter } from './adapters.ts'
import type { KeeperCalls } from '../protocol.ts'
import { toEmptyRecord } from './to-catalog.ts'
import { currentState, type KeeperAdapter, type KeeperTable } from './table-model.ts'

/** What a front's line holds of adapters. */
export interface AdapterFront {
  adapterBuilds: Map<number, AdapterBuild>
}

/** What the procedures of adapters need of the keeper. */
export interface AdapterKeeper {
  memory: () => TableMemory
  store: () => Store
  forgetting: () => Forgetting
  takeNumber: () => number
  find: (name: string) => KeeperTable
  /** Runs `work` when nobody else changes what the table is. */
  lock: <Result>(name: string, work: () => Promise<Result>) => Promise<Result>
  /** Tells every front what the table is now. */
  publish: (name: string) => Promise<void>
  /** Resolves when no front reads the key any more; then its memory has gone back. */
  retire: (key: string, reservedBytes: number) => Promise<void>
}

type Name = 'beginAdapter' | 'commitAdapter' | 'abortAdapter' | 'dropAdapter'
type AdapterProcedures = {
  [One in Name]: (
    front: AdapterFront,
    argument: KeeperCalls[One]['argument'],
  ) => KeeperCalls[One]['answer'] | Promise<KeeperCalls[One]['answer']>
}

/** The keeper's procedures of adapters. */
export const makeAdapterProcedures = (keeper: AdapterKeeper): AdapterProcedures => ({
  beginAdapter: (front, argument) => {
    const adapterId = keeper.takeNumber()
    const build = beginAdapter(keeper.find(argument.name), keeper.memory(), `a${adapterId}`, argument, Date.now())
    front.adapterBuilds.set(adapterId, build)
    return { adapterId, a: build.handle.a, b: build.handle.b }
  },
  commitAdapter: (front, { adapterId, alpha }) => {
    const build = front.adapterBuilds.get(adapterId) ?? refuse('PRECONDITION_FAILED', 'the upload was given up')
    // From here on the build is this procedure's, whatever becomes of the front.
    front.adapterBuilds.delete(adapterId)
    return keeper.lock(build.name, () => commitAdapter(keeper, build, alpha))
  },
  abortAdapter: (front, { adapterId }) => {
    const build = front.adapterBuilds.get(adapterId)
    front.adapterBuilds.delete(adapterId)
    if (build !== undefined) keeper.memory().release(build.reservedBytes)
    return null
  },
  dropAdapter: (_front, { name, precondition }) =>
    keeper.lock(name, async () => {
      const table = keeper.find(name)
      checkPrecondition(precondition, currentState(table))
      const { current } = table
      if (current.adapter === null) return null
      commitChange(keeper, table, { kind: 'delete-adapter', tableId: table.id, version: current.handle.version }, Date.now())
      const before = detachAdapter(table)
      if (before !== null) await publishAdapter(keeper, table, before)
      return null
    }),
})

/** Writes the adapter, lists it and tells every front. Refuses PRECONDITION_FAILED, DISK_FULL; then the build is gone. */
const commitAdapter = async (keeper: AdapterKeeper, build: AdapterBuild, alpha: number): Promise<{ created: boolean }> => {
  const nowMs = Date.now()
  let files: string[] = []
  let table: KeeperTable
  try {
    const store = keeper.store()
    checkAdapter(keeper.find(build.name), build)
    const listed = await writeAdapter(store.paths.snapshots, keeper.find(build.name), build, alpha, nowMs).catch((error: unknown) => {
      throw store.judge('the files of an adapter', error)
    })
    files = [listed.fileA, listed.fileB]
    // The rows may have been updated while the files were written.
    table = keeper.find(build.name)
    checkAdapter(table, build)
    commitChange(keeper, table, { kind: 'put-adapter', adapter: listed }, nowMs)
  } catch (error) {
    keeper.memory().release(build.reservedBytes)
    keeper.forgetting().unlisted(...files)
    throw error
  }
  const handle = { ...build.handle, alpha, attachedAt: nowMs }
  const before = attachAdapter(table, { handle, reservedBytes: build.reservedBytes, files })
  await publishAdapter(keeper, table, before)
  return { created: before === null }
}

/**
 * Lists the change, and journals the sequence that it takes. From here on updates of the version are refused, until the fronts know: nothing else
 * takes that sequence.
 */
const commitChange = (keeper: AdapterKeeper, table: KeeperTable, change: CatalogChange, nowMs: number): void => {
  const { stored, table: version } = table.current
  const isJournaled = table.settings.durability !== 'none' || stored.journalHolders > 0
  const sequence = version.readSequence() + 1
  keeper.store().commit({ changes: [change], records: isJournaled ? [toEmptyRecord(table, sequence, nowMs)] : [] })
  if (isJournaled && stored.coveredThrough === sequence - 1) stored.coveredThrough = sequence
}

/** Tells every front which adapter the current version has now; resolves when nobody reads the one before any more. */
const publishAdapter = async (keeper: AdapterKeeper, { name, current }: KeeperTable, before: KeeperAdapter | null): Promise<void> => {
  if (before === null) await keeper.publish(name)
  else {
    const { key } = before.handle
    current.leavingAdapters.add(key)
    const freed = keeper.retire(key, before.reservedBytes)
    await keeper.publish(name)
    await freed
    current.leavingAdapters.delete(key)
    keeper.forgetting().files(before.files)
  }
  countChange(current, Date.now())
}
