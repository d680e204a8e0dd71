/** The writer: the only thread that changes tables. */
import type { MessagePort } from 'node:worker_threads'
import { refuse, toMessage } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { instantiateApplyKernels } from '../kernels/apply.ts'
import { Arena } from '../tables/arena.ts'
import { adapterMemories, type AliasRecord } from '../tables/handles.ts'
import { TableMemory } from '../tables/memory.ts'
import { describeReport, openStore, type OpenStoreOptions, refuseStart } from '../storage/open-store.ts'
import type { Store } from '../storage/store.ts'
import { endExport, listLogs } from './upkeep/exports.ts'
import { Cleanup } from './upkeep/cleanup.ts'
import { type HttpWorkerLink, HttpWorkerLinks } from './http-worker-links.ts'
import { StoreHealth, toRefusal } from './upkeep/health.ts'
import { Idempotency } from './updates/idempotency.ts'
import type { WriterDependencies, OpenStorage } from './dependencies.ts'
import { makeProcedures, type Procedures } from './procedures.ts'
import type { WriterCall } from './messages.ts'
import type { WriterHealth } from './protocol.ts'
import { describeProgress, type LoadProgress, recover } from './recovery/recover.ts'
import { ChangeKeys } from './lifecycle/change-keys.ts'
import { FormerTables } from './lifecycle/former-tables.ts'
import { planCleanStop } from './lifecycle/reserve-sequences.ts'
import { Scrubber } from './upkeep/scrubber.ts'
import { Snapshots } from './upkeep/snapshots.ts'
import { BuildOrder } from './lifecycle/build-order.ts'
import { type TableModel, releaseBuild, toRecord } from './lifecycle/table-model.ts'
import { GroupCommit } from './updates/group-commit.ts'

export interface WriterOptions {
  quotaBytes: number
  segmentBytesMax?: number
  /** Called for errors that no client can be told about. */
  onError?: (error: unknown) => void
  /** Called when rows may be half written in memory, so that the process must end at once. */
  onFatal?: (error: unknown) => void
}

export interface LoadOptions {
  dataDir: string
  /** Whether to go back to the state before damage, instead of refusing to start. */
  goesBack?: boolean
  /** When a version gets another snapshot; see config.ts. */
  snapshotJournalBytes?: number
  snapshotAgeMs?: number
  /** Options of the store, which tests set. */
  store?: OpenStoreOptions
  onProgress?: (progress: LoadProgress) => void
  /** Called with a line for people for each irregularity that was found. */
  onWarning?: (line: string) => void
}

/**
 * Owns the tables, their memory and the order of updates. HTTP workers connect by message ports, even before
 * the tables are loaded.
 */
export class Writer implements WriterDependencies {
  readonly memory: TableMemory
  readonly tables = new Map<string, TableModel>()
  readonly aliases = new Map<string, AliasRecord>()
  formerTables = new FormerTables()
  readonly httpWorkers: HttpWorkerLinks
  readonly buildOrder = new BuildOrder()
  readonly #arena = new Arena(LIMITS.updateBytesInFlightMax * 4)
  readonly #procedures: Procedures
  readonly #onError: (error: unknown) => void
  readonly #onFatal: (error: unknown) => void
  readonly #locks = new Map<string, Promise<unknown>>()
  readonly #loading = Promise.withResolvers<void>()
  #storage: OpenStorage | null = null
  #health: WriterHealth = { state: 'loading', reason: 'the data directory is being opened' }
  #nextNumber = 1

  constructor(options: WriterOptions) {
    this.memory = new TableMemory(options.quotaBytes, options.segmentBytesMax)
    this.#onError = options.onError ?? (() => {})
    this.#onFatal = options.onFatal ?? (() => {})
    this.#procedures = makeProcedures(this)
    this.httpWorkers = new HttpWorkerLinks({
      memory: this.memory,
      arena: this.#arena,
      published: {
        tables: () => [...this.tables.values()].map(toRecord),
        aliases: () => [...this.aliases.values()],
        health: () => this.#health,
      },
      onCall: (httpWorker, call) => void this.#answer(httpWorker, call),
      onGone: (httpWorker) => this.#giveUp(httpWorker),
    })
  }

  /** Connects to the HTTP worker at the other end of `port`. */
  connect(port: MessagePort): void {
    this.httpWorkers.connect(port)
  }

  /**
   * Opens the data directory, loads its tables and publishes them to every HTTP worker. Refuses with
   * StoredDataRefusal when the data cannot be trusted, and with MEMORY_QUOTA_EXCEEDED.
   */
  async load(options: LoadOptions): Promise<void> {
    const { onWarning = () => {}, onProgress = () => {}, goesBack = false } = options
    const startMs = performance.now()
    const { store, report } = openStore(options.dataDir, { ...options.store, goBackBeforeDamage: goesBack })
    try {
      for (const line of describeReport(report)) onWarning(line)
      const { tables, aliases, formerTables } = await recover({
        store,
        memory: this.memory,
        arena: this.#arena,
        goesBack,
        takeNumber: () => this.takeNumber(),
        onWarning,
        onProgress: (progress) => {
          onProgress(progress)
          this.#setHealth({
            state: 'loading',
            reason: describeProgress(progress, performance.now() - startMs),
          })
        },
      })
      for (const [name, table] of tables) this.tables.set(name, table)
      for (const [name, alias] of aliases) this.aliases.set(name, alias)
      this.formerTables = formerTables
    } catch (error) {
      store.close()
      return refuseStart(store.paths.directory, error)
    }
    this.#storage = this.#open(store, options)
    await Promise.all(
      [...this.tables.values()].map((table) => this.httpWorkers.publish(table.name, toRecord(table))),
    )
    this.#setHealth({ state: 'ready', reason: 'ready' })
    if (report.isDiskFull) this.#storage.health.noteFull()
    // HTTP workers acknowledge aliases and so, since messages keep their order, the health before them.
    await this.httpWorkers.publishAliases()
    this.#loading.resolve()
  }

  /** Closes the links to the HTTP workers, writes the last snapshots and closes the data directory. */
  async close(): Promise<void> {
    this.httpWorkers.close()
    if (this.#storage === null) return
    const { groupCommit, snapshots, scrubber, cleanup, health, store } = this.#storage
    await groupCommit.whenIdle()
    await scrubber.close()
    await snapshots.close()
    await cleanup.whenIdle()
    await health.close()
    store.close(planCleanStop(this.tables.values()))
  }

  #open(store: Store, { snapshotJournalBytes, snapshotAgeMs }: LoadOptions): OpenStorage {
    const keys = new Idempotency(store)
    const cleanup = new Cleanup(store, this.#onError)
    const health = new StoreHealth(store, (state) => this.#setHealth(state), this.#onError)
    const groupCommit = new GroupCommit({
      memory: this.memory,
      arena: this.#arena,
      kernels: instantiateApplyKernels(this.#arena.memory),
      store,
      keys,
      find: (name) => this.find(name),
      listLogs: () =>
        listLogs([...this.httpWorkers].flatMap((httpWorker) => [...httpWorker.exports.values()])),
      onFatal: this.#onFatal,
      onCommit: (error) => health.note(error),
    })
    const snapshots = new Snapshots({
      store,
      memory: this.memory,
      keys,
      cleanup,
      tables: this.tables,
      onError: this.#onError,
      journalBytes: snapshotJournalBytes ?? Number.POSITIVE_INFINITY,
      ageMs: snapshotAgeMs ?? Number.POSITIVE_INFINITY,
    })
    const everyMs = LIMITS.scrubEveryMs
    const scrubber = new Scrubber({ store, snapshots, tables: this.tables, onError: this.#onError, everyMs })
    const changeKeys = new ChangeKeys(store, keys)
    return { store, keys, changeKeys, groupCommit, snapshots, scrubber, cleanup, health }
  }

  get storage(): OpenStorage {
    return this.#storage ?? refuse('NOT_READY', this.#health.reason)
  }

  get loaded(): Promise<void> {
    return this.#loading.promise
  }

  takeNumber(): number {
    return this.#nextNumber++
  }

  find(name: string): TableModel {
    return this.tables.get(name) ?? refuse('TABLE_NOT_FOUND', `there is no table ${JSON.stringify(name)}`)
  }

  lock<Result>(name: string, work: () => Promise<Result>): Promise<Result> {
    const before = this.#locks.get(name) ?? Promise.resolve()
    const done = before.then(work)
    const settled = done.then(
      () => {},
      () => {},
    )
    this.#locks.set(name, settled)
    void settled.then(() => {
      if (this.#locks.get(name) === settled) this.#locks.delete(name)
    })
    return done
  }

  #setHealth(health: WriterHealth): void {
    this.#health = health
    this.httpWorkers.publishHealth()
  }

  async #answer(httpWorker: HttpWorkerLink, { callId, procedure, argument }: WriterCall): Promise<void> {
    try {
      const call = this.#procedures[procedure] as (httpWorker: HttpWorkerLink, argument: unknown) => unknown
      this.httpWorkers.answer(httpWorker, { callId, answer: await call(httpWorker, argument) })
    } catch (error) {
      this.#storage?.health.note(error)
      const message = toMessage(toRefusal(error))
      if (message.code === 'INTERNAL') this.#onError(error)
      this.httpWorkers.answer(httpWorker, { callId, error: message })
    }
  }

  /** Discards what an HTTP worker that has ended had in progress. */
  #giveUp(httpWorker: HttpWorkerLink): void {
    for (const build of httpWorker.builds.values()) releaseBuild(build, this.memory)
    this.buildOrder.endAll(httpWorker.builds.keys())
    for (const { reservedBytes, handle } of httpWorker.adapterBuilds.values())
      this.memory.release(reservedBytes, adapterMemories(handle))
    for (const begun of httpWorker.exports.values()) endExport(begun, this.memory)
    for (const keyId of httpWorker.keyIds) this.#storage?.changeKeys.end(keyId)
  }
}
