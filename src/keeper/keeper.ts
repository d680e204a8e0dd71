import type { MessagePort } from 'node:worker_threads'
import { assert } from '../core/assert.ts'
import { refuse, toMessage } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { instantiateApplyKernels } from '../kernels/apply.ts'
import { Arena } from '../tables/arena.ts'
import { TableMemory } from '../tables/memory.ts'
import { checkPrecondition } from '../tables/precondition.ts'
import { applyUpdate } from './apply.ts'
import { beginExport, endExport, listLogs, readPreimages, type TableExport } from './exports.ts'
import { refuseAdapted } from './lora.ts'
import { type AdapterFront, makeAdapterProcedures } from './lora-procedures.ts'
import type { FrontMessage, KeeperCalls, KeeperMessage, KeeperProcedure, UpdateArguments } from './protocol.ts'
import {
  type Build,
  beginBuild,
  commitBuild,
  currentState,
  type KeeperTable,
  type KeeperVersion,
  mergeSettings,
  releaseBuild,
  resetStates,
  toRecord,
  trimVersions,
} from './tables.ts'

export interface KeeperOptions {
  quotaBytes: number
  segmentBytesMax?: number
  /** For errors that no front can be told about. */
  onError?: (error: unknown) => void
}

interface Front extends AdapterFront {
  port: MessagePort
  builds: Map<number, Build>
  exports: Map<number, TableExport>
  /** Publications this front has not acknowledged yet. */
  unacknowledged: Map<number, () => void>
}

/** A procedure's implementation for one front. */
type Procedures = {
  [Name in KeeperProcedure]: (
    front: Front,
    argument: KeeperCalls[Name]['argument'],
  ) => KeeperCalls[Name]['answer'] | Promise<KeeperCalls[Name]['answer']>
}

/** The only writer: owns the tables, their memory and the order of updates. Fronts connect by message ports. */
export class Keeper {
  readonly memory: TableMemory
  readonly #tables = new Map<string, KeeperTable>()
  readonly #fronts = new Set<Front>()
  /** Versions that nobody may start to read, and the fronts that still do. */
  readonly #retiring = new Map<string, { reservedBytes: number; readers: Set<Front>; onFreed: () => void }>()
  readonly #arena = new Arena(LIMITS.updateBytesInFlightMax * 4)
  readonly #kernels = instantiateApplyKernels(this.#arena.memory)
  readonly #onError: (error: unknown) => void
  #nextNumber = 1

  constructor(options: KeeperOptions) {
    this.memory = new TableMemory(options.quotaBytes, options.segmentBytesMax)
    this.#onError = options.onError ?? (() => {})
  }

  /** Serves the front at the other end of `port`, beginning with every table there is. */
  connect(port: MessagePort): void {
    const front: Front = { port, builds: new Map(), adapterBuilds: new Map(), exports: new Map(), unacknowledged: new Map() }
    this.#fronts.add(front)
    port.on('message', (message: FrontMessage) => this.#receive(front, message))
    port.on('close', () => this.#disconnect(front))
    for (const table of this.#tables.values()) void this.#tell(front, table.name, table)
  }

  /** Ends the line to every front. */
  close(): void {
    for (const front of this.#fronts) front.port.close()
  }

  #receive(front: Front, message: FrontMessage): void {
    switch (message.kind) {
      case 'call':
        void this.#answer(front, message.callId, message.procedure, message.argument)
        return
      case 'published':
        front.unacknowledged.get(message.publicationId)?.()
        front.unacknowledged.delete(message.publicationId)
        return
      case 'released':
        this.#released(front, message.key)
    }
  }

  async #answer(front: Front, callId: number, procedure: KeeperProcedure, argument: unknown): Promise<void> {
    let message: KeeperMessage
    try {
      const call = this.#procedures[procedure] as (front: Front, argument: unknown) => unknown
      message = { kind: 'answer', callId, answer: await call(front, argument) }
    } catch (error) {
      message = { kind: 'error', callId, error: toMessage(error) }
      if (message.error.code === 'INTERNAL') this.#onError(error)
    }
    front.port.postMessage(message)
  }

  readonly #procedures: Procedures = {
    sync: () => null,
    begin: (front, argument) => {
      const buildId = this.#nextNumber++
      const build = beginBuild(this.#tables, this.memory, `v${buildId}`, argument, Date.now())
      front.builds.set(buildId, build)
      return { buildId, segments: build.handle.segments, state: build.state?.rows.handle.segments ?? null }
    },
    commit: async (front, { buildId, step = 0 }) => {
      const build = front.builds.get(buildId) ?? refuse('PRECONDITION_FAILED', 'the upload was given up')
      const { table, created, retired } = commitBuild(this.#tables, this.memory, build, { step, nowMs: Date.now() })
      front.builds.delete(buildId)
      await this.#publish(table.name, retired)
      return { created, version: table.current.handle.version }
    },
    abort: (front, { buildId }) => {
      const build = front.builds.get(buildId)
      front.builds.delete(buildId)
      if (build !== undefined) releaseBuild(build, this.memory)
      return null
    },
    patch: async (_front, { name, settings, precondition }) => {
      const table = this.#find(name)
      checkPrecondition(precondition, currentState(table))
      this.#changeSettings(table, settings)
      await this.#publish(name, trimVersions(table))
      return null
    },
    remove: async (_front, { name, precondition }) => {
      const table = this.#find(name)
      checkPrecondition(precondition, currentState(table))
      this.#tables.delete(name)
      await this.#publish(name, [...table.versions.values()])
      return null
    },
    update: (_front, argument) => this.#update(argument),
    ...makeAdapterProcedures({
      memory: () => this.memory,
      takeNumber: () => this.#nextNumber++,
      find: (name) => this.#find(name),
      publish: (name) => this.#publish(name, []),
      retire: (key, reservedBytes) => new Promise((resolve) => this.#retire(key, reservedBytes, resolve)),
    }),
    beginExport: (front, { name, version, withState }) => {
      const table = this.#find(name)
      const found = table.versions.get(version) ?? refuse('VERSION_NOT_FOUND', `there is no version ${version}`)
      const exportId = this.#nextNumber++
      const { begun, ...answer } = beginExport(found, table.settings.optimizer, withState)
      front.exports.set(exportId, begun)
      return { exportId, ...answer }
    },
    readPreimages: (front, { exportId, of, firstRow, rowCount }) => {
      const begun = front.exports.get(exportId)
      assert(begun !== undefined, 'an export is read between its begin and its end')
      return readPreimages(begun, of, firstRow, rowCount)
    },
    endExport: (front, { exportId }) => {
      const begun = front.exports.get(exportId)
      front.exports.delete(exportId)
      if (begun !== undefined) endExport(begun, this.memory)
      return null
    },
  }

  #find(name: string): KeeperTable {
    return this.#tables.get(name) ?? refuse('TABLE_NOT_FOUND', `there is no table ${JSON.stringify(name)}`)
  }

  #changeSettings(table: KeeperTable, changes: Parameters<typeof mergeSettings>[1]): void {
    const { kind } = table.settings.optimizer
    table.settings = mergeSettings(table.settings, changes, table.current.handle.rows)
    table.changedAt = Date.now()
    if (table.settings.optimizer.kind !== kind) resetStates(table, this.memory)
  }

  #update(argument: UpdateArguments): KeeperCalls['update']['answer'] {
    if (argument.deadlineAt !== undefined && Date.now() >= argument.deadlineAt) {
      refuse('DEADLINE_EXCEEDED', 'X-Request-Timeout-Ms had passed before the update could begin')
    }
    const table = this.#find(argument.name)
    checkPrecondition(argument.precondition, currentState(table))
    refuseAdapted(table)
    const logs = listLogs([...this.#fronts].flatMap((front) => [...front.exports.values()]))
    return applyUpdate({ table, memory: this.memory, arena: this.#arena, kernels: this.#kernels, logs, nowMs: Date.now() }, argument)
  }

  /** Tells every front what the table is now, and retires versions; resolves when all have applied it. */
  async #publish(name: string, retired: readonly KeeperVersion[]): Promise<void> {
    for (const version of retired) {
      this.#retire(version.handle.key, version.reservedBytes + (version.state?.reservedBytes ?? 0))
      if (version.adapter !== null) this.#retire(version.adapter.handle.key, version.adapter.reservedBytes)
    }
    await Promise.all([...this.#fronts].map((front) => this.#tell(front, name, this.#tables.get(name))))
  }

  /** The memory goes back when no front reads it any more. */
  #retire(key: string, reservedBytes: number, onFreed: () => void = () => {}): void {
    this.#retiring.set(key, { reservedBytes, readers: new Set(this.#fronts), onFreed })
    this.#freeWhenUnread(key)
  }

  #tell(front: Front, name: string, table: KeeperTable | undefined): Promise<void> {
    const publicationId = this.#nextNumber++
    const message: KeeperMessage = { kind: 'publish', publicationId, name, record: table === undefined ? null : toRecord(table) }
    return new Promise((resolve) => {
      front.unacknowledged.set(publicationId, resolve)
      front.port.postMessage(message)
    })
  }

  #released(front: Front, key: string): void {
    this.#retiring.get(key)?.readers.delete(front)
    this.#freeWhenUnread(key)
  }

  #freeWhenUnread(key: string): void {
    const retiring = this.#retiring.get(key)
    if (retiring === undefined || retiring.readers.size > 0) return
    this.#retiring.delete(key)
    this.memory.release(retiring.reservedBytes)
    retiring.onFreed()
  }

  /** A front is gone: its builds are given up, nobody waits for it any more. */
  #disconnect(front: Front): void {
    if (!this.#fronts.delete(front)) return
    for (const build of front.builds.values()) releaseBuild(build, this.memory)
    for (const { reservedBytes } of front.adapterBuilds.values()) this.memory.release(reservedBytes)
    for (const begun of front.exports.values()) endExport(begun, this.memory)
    for (const acknowledge of front.unacknowledged.values()) acknowledge()
    for (const key of [...this.#retiring.keys()]) this.#released(front, key)
  }
}
