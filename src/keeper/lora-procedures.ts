import { refuse } from '../core/errors.ts'
import type { TableMemory } from '../tables/memory.ts'
import { type AdapterBuild, attachAdapter, beginAdapter, countChange, detachAdapter } from './lora.ts'
import type { KeeperCalls } from './protocol.ts'
import type { KeeperAdapter, KeeperTable } from './tables.ts'

/** What a front's line holds of adapters. */
export interface AdapterFront {
  adapterBuilds: Map<number, AdapterBuild>
}

/** What the procedures of adapters need of the keeper. */
export interface AdapterKeeper {
  memory: () => TableMemory
  takeNumber: () => number
  find: (name: string) => KeeperTable
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
  commitAdapter: async (front, { adapterId, alpha }) => {
    const build = front.adapterBuilds.get(adapterId) ?? refuse('PRECONDITION_FAILED', 'the upload was given up')
    const table = keeper.find(build.name)
    const before = attachAdapter(table, build, alpha, Date.now())
    front.adapterBuilds.delete(adapterId)
    await publishAdapter(keeper, table, before)
    return { created: before === null }
  },
  abortAdapter: (front, { adapterId }) => {
    const build = front.adapterBuilds.get(adapterId)
    front.adapterBuilds.delete(adapterId)
    if (build !== undefined) keeper.memory().release(build.reservedBytes)
    return null
  },
  dropAdapter: async (_front, { name, precondition }) => {
    const table = keeper.find(name)
    const before = detachAdapter(table, precondition)
    if (before !== null) await publishAdapter(keeper, table, before)
    return null
  },
})

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
  }
  countChange(current, Date.now())
}
