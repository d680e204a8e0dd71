/** The writer's side of its links to the HTTP workers: calls, answers and publications. */
import type { MessagePort } from 'node:worker_threads'
import type { Arena } from '../tables/arena.ts'
import type { AliasRecord, TableHandle } from '../tables/handles.ts'
import type { TableMemory } from '../tables/memory.ts'
import type { TableExport } from './upkeep/exports.ts'
import { type UpdateSource, openUpdateSource } from './updates/update-source.ts'
import type { AdapterBuilds } from './lifecycle/adapter-procedures.ts'
import type { HttpWorkerMessage, WriterAnswer, WriterCall, WriterMessage } from './messages.ts'
import type { WriterHealth } from './protocol.ts'
import type { Build } from './lifecycle/table-model.ts'

/** The link to one HTTP worker, with the builds and exports that it has in progress. */
export interface HttpWorkerLink extends AdapterBuilds {
  port: MessagePort
  /** The memory that holds the updates of the HTTP worker; null until it has sent it. */
  updateSource: UpdateSource | null
  builds: Map<number, Build>
  exports: Map<number, TableExport>
  /** The idempotency keys that its requests have reserved. */
  keyIds: Set<number>
  /** Publications that the HTTP worker has not acknowledged yet, with the functions that resolve them. */
  unacknowledged: Map<number, () => void>
  /** Answers to be sent by the next microtask. */
  answers: WriterAnswer[]
}

/** The state that a new HTTP worker is told. */
export interface Published {
  tables: () => Iterable<TableHandle>
  aliases: () => AliasRecord[]
  health: () => WriterHealth
}

export interface HttpWorkerLinksDependencies {
  memory: TableMemory
  /** The writer's arena, into which updates are copied. */
  arena: Arena
  published: Published
  onCall: (httpWorker: HttpWorkerLink, call: WriterCall) => void
  /** An HTTP worker has ended; its builds and exports have to be aborted. */
  onGone: (httpWorker: HttpWorkerLink) => void
}

interface Retiring {
  reservedBytes: number
  memories: readonly WebAssembly.Memory[]
  readers: Set<HttpWorkerLink>
  onFreed: () => void
}

/**
 * The links to all HTTP workers. They publish tables, aliases and health, and free a version when no HTTP
 * worker reads it any more.
 */
export class HttpWorkerLinks {
  readonly #dependencies: HttpWorkerLinksDependencies
  readonly #httpWorkers = new Set<HttpWorkerLink>()
  /** Versions and adapters that are no longer published, and the HTTP workers that may still read them. */
  readonly #retiring = new Map<string, Retiring>()
  #nextPublicationId = 1

  constructor(dependencies: HttpWorkerLinksDependencies) {
    this.#dependencies = dependencies
  }

  /** Connects to the HTTP worker at the other end of `port` and publishes every table to it. */
  connect(port: MessagePort): void {
    const maps = {
      builds: new Map(),
      adapterBuilds: new Map(),
      exports: new Map(),
      keyIds: new Set<number>(),
      unacknowledged: new Map(),
    }
    const httpWorker: HttpWorkerLink = { port, updateSource: null, ...maps, answers: [] }
    this.#httpWorkers.add(httpWorker)
    port.on('message', (message: HttpWorkerMessage) => this.#receive(httpWorker, message))
    port.on('close', () => this.#disconnect(httpWorker))
    const { tables, aliases, health } = this.#dependencies.published
    for (const record of tables()) void this.#tell(httpWorker, { kind: 'publish', name: record.name, record })
    void this.#tell(httpWorker, { kind: 'aliases', aliases: aliases() })
    // Health is sent last, so that an HTTP worker that turns ready knows every table.
    this.#send(httpWorker, { kind: 'health', health: health() })
  }

  /** Closes the links to all HTTP workers. */
  close(): void {
    for (const httpWorker of this.#httpWorkers) httpWorker.port.close()
  }

  *[Symbol.iterator](): IterableIterator<HttpWorkerLink> {
    yield* this.#httpWorkers
  }

  /** Publishes a table to every HTTP worker; null says that it is gone. Resolves when all have applied it. */
  async publish(name: string, record: TableHandle | null): Promise<void> {
    await Promise.all(
      [...this.#httpWorkers].map((httpWorker) => this.#tell(httpWorker, { kind: 'publish', name, record })),
    )
  }

  /** Publishes the aliases to every HTTP worker. Resolves when all have applied them. */
  async publishAliases(): Promise<void> {
    const aliases = this.#dependencies.published.aliases()
    await Promise.all(
      [...this.#httpWorkers].map((httpWorker) => this.#tell(httpWorker, { kind: 'aliases', aliases })),
    )
  }

  /** Publishes the writer's health to every HTTP worker. */
  publishHealth(): void {
    const health = this.#dependencies.published.health()
    for (const httpWorker of this.#httpWorkers) this.#send(httpWorker, { kind: 'health', health })
  }

  /**
   * Frees the memory of a version or adapter when no HTTP worker reads it any more. Each reports that after a
   * publication without the key.
   */
  retire(
    key: string,
    reservedBytes: number,
    memories: readonly WebAssembly.Memory[],
    onFreed: () => void = () => {},
  ): void {
    this.#retiring.set(key, { reservedBytes, memories, readers: new Set(this.#httpWorkers), onFreed })
    this.#freeWhenUnread(key)
  }

  /**
   * Answers a call of an HTTP worker. Answers given together go as one message, because waking the other
   * thread costs more than their contents.
   */
  answer(httpWorker: HttpWorkerLink, answer: WriterAnswer): void {
    if (httpWorker.answers.length === 0)
      queueMicrotask(() => this.#send(httpWorker, { kind: 'answers', answers: httpWorker.answers.splice(0) }))
    httpWorker.answers.push(answer)
  }

  #send(httpWorker: HttpWorkerLink, message: WriterMessage): void {
    httpWorker.port.postMessage(message)
  }

  #tell(
    httpWorker: HttpWorkerLink,
    what:
      | { kind: 'publish'; name: string; record: TableHandle | null }
      | { kind: 'aliases'; aliases: AliasRecord[] },
  ): Promise<void> {
    const publicationId = this.#nextPublicationId++
    return new Promise((resolve) => {
      httpWorker.unacknowledged.set(publicationId, resolve)
      this.#send(httpWorker, { ...what, publicationId })
    })
  }

  #receive(httpWorker: HttpWorkerLink, message: HttpWorkerMessage): void {
    switch (message.kind) {
      case 'calls':
        for (const call of message.calls) this.#dependencies.onCall(httpWorker, call)
        return
      case 'published':
        httpWorker.unacknowledged.get(message.publicationId)?.()
        httpWorker.unacknowledged.delete(message.publicationId)
        return
      case 'shown':
        httpWorker.updateSource = openUpdateSource(message.memory, this.#dependencies.arena)
        return
      case 'released':
        this.#released(httpWorker, message.key)
    }
  }

  #released(httpWorker: HttpWorkerLink, key: string): void {
    this.#retiring.get(key)?.readers.delete(httpWorker)
    this.#freeWhenUnread(key)
  }

  #freeWhenUnread(key: string): void {
    const retiring = this.#retiring.get(key)
    if (retiring === undefined || retiring.readers.size > 0) return
    this.#retiring.delete(key)
    this.#dependencies.memory.release(retiring.reservedBytes, retiring.memories)
    retiring.onFreed()
  }

  /** Forgets an HTTP worker that has ended: nothing waits for its acknowledgements or its readers. */
  #disconnect(httpWorker: HttpWorkerLink): void {
    if (!this.#httpWorkers.delete(httpWorker)) return
    this.#dependencies.onGone(httpWorker)
    for (const acknowledge of httpWorker.unacknowledged.values()) acknowledge()
    for (const key of [...this.#retiring.keys()]) this.#released(httpWorker, key)
  }
}
