/** The writer's procedures that attach an adapter to a table and remove it. */
import { GatherdError, refuse } from '../../core/errors.ts'
import type { CatalogChange } from '../../storage/catalog-rows.ts'
import type { RememberedKey } from '../../storage/key-memory.ts'
import type { Store } from '../../storage/store.ts'
import { adapterBytes } from '../../tables/adapter.ts'
import { adapterMemories } from '../../tables/handles.ts'
import type { TableMemory } from '../../tables/memory.ts'
import type { Precondition } from '../../core/types.ts'
import { checkPrecondition } from '../../tables/precondition.ts'
import type { ChangedAdapter, ChangeKey, WriterCalls } from '../protocol.ts'
import type { ChangeKeys } from './change-keys.ts'
import type { Cleanup } from '../upkeep/cleanup.ts'
import { writeAdapter } from './adapter-files.ts'
import {
  type AdapterBuild,
  attachAdapter,
  beginAdapter,
  checkAdapter,
  countChange,
  detachAdapter,
} from './adapters.ts'
import { type AdapterModel, currentState, lastSequence, type TableModel } from './table-model.ts'
import { reserveSequences } from './reserve-sequences.ts'
import { nextSequence } from './sequences.ts'
import { toEmptyRecord } from './to-catalog.ts'

/** The adapter builds that an HTTP worker has in progress; a part of HttpWorkerLink. */
export interface AdapterBuilds {
  adapterBuilds: Map<number, AdapterBuild>
}

/** The parts of the writer that these procedures use. */
export interface AdapterDependencies {
  memory: () => TableMemory
  store: () => Store
  cleanup: () => Cleanup
  changeKeys: () => ChangeKeys
  takeNumber: () => number
  find: (name: string) => TableModel
  /** Runs `work` while no other call changes the table's versions, settings or adapter. */
  lock: <Result>(name: string, work: () => Promise<Result>) => Promise<Result>
  /** Runs `change`, which takes a sequence that a start finds again, of whatever durability the table is. */
  journal: <Result>(table: TableModel, change: () => Promise<Result>) => Promise<Result>
  /** Publishes the table to every HTTP worker. */
  publish: (name: string) => Promise<void>
  /** Resolves when no HTTP worker reads the adapter any more. */
  retire: (adapter: AdapterModel) => Promise<void>
}

type Name = 'beginAdapter' | 'commitAdapter' | 'abortAdapter' | 'dropAdapter'
type AdapterProcedures = {
  [One in Name]: (
    httpWorker: AdapterBuilds,
    argument: WriterCalls[One]['argument'],
  ) => WriterCalls[One]['answer'] | Promise<WriterCalls[One]['answer']>
}

/** Makes the procedures of adapters. */
export const makeAdapterProcedures = (writer: AdapterDependencies): AdapterProcedures => ({
  beginAdapter: async (httpWorker, argument) => {
    await writer.memory().whenGivenBack()
    const adapterId = writer.takeNumber()
    const build = beginAdapter(
      writer.find(argument.name),
      writer.memory(),
      `a${adapterId}`,
      argument,
      Date.now(),
    )
    httpWorker.adapterBuilds.set(adapterId, build)
    return { adapterId, a: build.handle.a, b: build.handle.b }
  },
  commitAdapter: (httpWorker, { adapterId, alpha, key }) => {
    const build =
      httpWorker.adapterBuilds.get(adapterId) ??
      refuse('PRECONDITION_FAILED', 'the upload was aborted before its commit')
    // From here on this procedure owns the build, even if the HTTP worker dies.
    httpWorker.adapterBuilds.delete(adapterId)
    return writer.lock(build.name, () => commitAdapter(writer, build, alpha, key))
  },
  abortAdapter: (httpWorker, { adapterId }) => {
    const build = httpWorker.adapterBuilds.get(adapterId)
    httpWorker.adapterBuilds.delete(adapterId)
    if (build !== undefined) writer.memory().release(build.reservedBytes, adapterMemories(build.handle))
    return null
  },
  dropAdapter: (_httpWorker, { name, precondition, key }) =>
    writer.lock(name, async () => {
      const table = writer.find(name)
      if (table.current.adapter !== null) {
        const drop = () => dropAdapter(writer, name, precondition, key)
        // A deletion frees space, so it has to work when there is none for a snapshot.
        return writer
          .journal(table, drop)
          .catch((error: unknown) => (isDiskFull(error) ? drop() : Promise.reject(error)))
      }
      checkPrecondition(precondition, currentState(table))
      const keys = writer.changeKeys().describe(key, null)
      if (keys.length > 0) writer.store().commit({ keys })
      return null
    }),
})

const isDiskFull = (error: unknown): boolean => error instanceof GatherdError && error.code === 'DISK_FULL'

const dropAdapter = async (
  writer: AdapterDependencies,
  name: string,
  precondition: Precondition,
  key: ChangeKey | undefined,
): Promise<null> => {
  const table = writer.find(name)
  checkPrecondition(precondition, currentState(table))
  const nowMs = Date.now()
  const keys = writer.changeKeys().describe(key, null)
  const change = { kind: 'delete-adapter', tableId: table.id, version: table.current.handle.version } as const
  commitChange(writer, table, change, nowMs, () => keys)
  await publishAdapter(writer, table, detachAdapter(table), nowMs)
  return null
}

/**
 * Writes the adapter, lists it in the catalog and publishes it. Refuses PRECONDITION_FAILED and DISK_FULL,
 * after which the build is discarded.
 */
const commitAdapter = async (
  writer: AdapterDependencies,
  build: AdapterBuild,
  alpha: number,
  key: ChangeKey | undefined,
): Promise<ChangedAdapter> => {
  const nowMs = Date.now()
  let files: string[] = []
  let isListed = false
  const handle = { ...build.handle, alpha, attachedAt: nowMs }
  try {
    const store = writer.store()
    checkAdapter(writer.find(build.name), build)
    const listed = await writeAdapter(
      store.paths.snapshots,
      writer.find(build.name),
      build,
      alpha,
      nowMs,
    ).catch((error: unknown) => {
      throw store.classify('the files of an adapter', error)
    })
    files = [listed.fileA, listed.fileB]
    return await writer.journal(writer.find(build.name), async () => {
      // The rows may have been updated while files were written, so the conditions are checked again.
      const table = writer.find(build.name)
      checkAdapter(table, build)
      const { current } = table
      const bytes = adapterBytes(handle, current.handle.dim)
      const describe = (sequence: number): ChangedAdapter => ({
        created: current.adapter === null,
        version: current.handle.version,
        sequence,
        adapter: { rank: handle.rank, alpha, dtype: handle.dtype, attachedAt: nowMs, bytes },
      })
      const change = { kind: 'put-adapter', adapter: listed } as const
      const sequence = commitChange(writer, table, change, nowMs, (taken) =>
        writer.changeKeys().describe(key, describe(taken)),
      )
      isListed = true
      const answer = describe(sequence)
      const before = attachAdapter(table, { handle, reservedBytes: build.reservedBytes, files })
      await publishAdapter(writer, table, before, nowMs)
      return answer
    })
  } catch (error) {
    if (!isListed) {
      writer.memory().release(build.reservedBytes, adapterMemories(build.handle))
      writer.cleanup().unlisted(...files)
    }
    throw error
  }
}

/**
 * Commits the change to the catalog and journals the sequence that it takes. From here on updates of the
 * version are refused until the HTTP workers know the change, so no update takes that sequence. Returns it.
 */
const commitChange = (
  writer: AdapterDependencies,
  table: TableModel,
  change: CatalogChange,
  nowMs: number,
  makeKeys: (sequence: number) => RememberedKey[],
): number => {
  const { stored } = table.current
  const isJournaled = table.settings.durability !== 'none' || stored.journalPins > 0
  reserveSequences(writer.store(), table, table.current)
  const before = lastSequence(table.current)
  const sequence = nextSequence(table.current)
  const records = isJournaled ? [toEmptyRecord(table, sequence, nowMs)] : []
  writer.store().commit({ changes: [change], records, keys: makeKeys(sequence) })
  if (isJournaled && stored.durableSequence >= before) stored.durableSequence = sequence
  return sequence
}

/**
 * Publishes the adapter of the current version, and resolves when no HTTP worker reads the one before it any
 * more.
 */
const publishAdapter = async (
  writer: AdapterDependencies,
  { name, current }: TableModel,
  before: AdapterModel | null,
  nowMs: number,
): Promise<void> => {
  if (before === null) await writer.publish(name)
  else {
    const { key } = before.handle
    current.leavingAdapters.add(key)
    const freed = writer.retire(before)
    await writer.publish(name)
    await freed
    current.leavingAdapters.delete(key)
    writer.cleanup().files(before.files)
  }
  // The time is that of the journal: a start finds it again, and a TableInfo's tag names it.
  countChange(current, nowMs)
}
