import type { MessagePort } from 'node:worker_threads'
import type { Arena } from '../tables/arena.ts'
import type { AliasRecord, TableRecord } from '../tables/handles.ts'
import type { TableMemory } from '../tables/memory.ts'
import type { TableExport } from './upkeep/exports.ts'
import { type UpdateSource, openUpdateSource } from './updates/update-source.ts'
import type { AdapterBuilds } from './lifecycle/adapter-procedures.ts'
import type { HttpWorkerMessage, WriterAnswer, WriterCall, WriterHealth, WriterMessage } from './protocol.ts'
import type { Build } from './lifecycle/table-model.ts'

/** An HTTP worker's line, and what it has under way. */
export interface HttpWorkerLink extends AdapterBuilds {
  port: MessagePort
  /** Where its updates are; null until it has shown that. */
  updateSource: UpdateSource | null
  builds: Map<number, Build>
  exports: Map<number, TableExport>
  /** Publications this HTTP worker has not acknowledged yet. */
  unacknowledged: Map<number, () => void>
  /** Of this turn, still to be sent. */
  answers: WriterAnswer[]
}

/** What an HTTP worker that comes has to be told. */
export interface Published {
  tables: () => Iterable<TableRecord>
  aliases: () => AliasRecord[]
  health: () => WriterHealth
}

export interface HttpWorkerLinksDependencies {
  memory: TableMemory
  /** The writer's, into which updates are read. */
  arena: Arena
  published: Published
  onCall: (httpWorker: HttpWorkerLink, call: WriterCall) => void
  /** An HTTP worker is gone, and with it whoever would go on with its builds and exports. */
  onGone: (httpWorker: HttpWorkerLink) => void
}

interface Retiring {
  reservedBytes: number
  readers: Set<HttpWorkerLink>
  onFreed: () => void
}

/** The lines to all HTTP workers: what is published, and who still reads what has left. */
export class HttpWorkerLinks {
  readonly #dependencies: HttpWorkerLinksDependencies
  readonly #httpWorkers = new Set<HttpWorkerLink>()
  /** Versions and adapters that nobody may start to read, and the HTTP workers that still do. */
  readonly #retiring = new Map<string, Retiring>()
  #nextPublicationId = 1

  constructor(dependencies: HttpWorkerLinksDependencies) {
    this.#dependencies = dependencies
  }

  /** Serves the HTTP worker at the other end of `port`, beginning with every table there is. */
  connect(port: MessagePort): void {
    const maps = {
      builds: new Map(),
      adapterBuilds: new Map(),
      exports: new Map(),
      unacknowledged: new Map(),
    }
    const httpWorker: HttpWorkerLink = { port, updateSource: null, ...maps, answers: [] }
    this.#httpWorkers.add(httpWorker)
    port.on('message', (message: HttpWorkerMessage) => this.#receive(httpWorker, message))
    port.on('close', () => this.#disconnect(httpWorker))
    const { tables, aliases, health } = this.#dependencies.published
    for (const record of tables()) void this.#tell(httpWorker, { kind: 'publish', name: record.name, record })
    void this.#tell(httpWorker, { kind: 'aliases', aliases: aliases() })
    // Last: whoever hears of it has heard of every table.
    this.#send(httpWorker, { kind: 'health', health: health() })
  }

  /** Ends every line. */
  close(): void {
    for (const httpWorker of this.#httpWorkers) httpWorker.port.close()
  }

  *[Symbol.iterator](): IterableIterator<HttpWorkerLink> {
    yield* this.#httpWorkers
  }

  /** Tells every HTTP worker what the table is now; null: it is gone. Resolves when all have applied it. */
  async publish(name: string, record: TableRecord | null): Promise<void> {
    await Promise.all(
      [...this.#httpWorkers].map((httpWorker) => this.#tell(httpWorker, { kind: 'publish', name, record })),
    )
  }

  /** Tells every HTTP worker which aliases there are. Resolves when all have applied it. */
  async publishAliases(): Promise<void> {
    const aliases = this.#dependencies.published.aliases()
    await Promise.all(
      [...this.#httpWorkers].map((httpWorker) => this.#tell(httpWorker, { kind: 'aliases', aliases })),
    )
  }

  /** Tells every HTTP worker what the writer is able to do. */
  publishHealth(): void {
    const health = this.#dependencies.published.health()
    for (const httpWorker of this.#httpWorkers) this.#send(httpWorker, { kind: 'health', health })
  }

  /** The memory goes back when no HTTP worker reads it any more; each says so after a publication without the key. */
  retire(key: string, reservedBytes: number, onFreed: () => void = () => {}): void {
    this.#retiring.set(key, { reservedBytes, readers: new Set(this.#httpWorkers), onFreed })
    this.#freeWhenUnread(key)
  }

  /** Answers a call of an HTTP worker. Those of one turn go as one message: to wake the other thread costs more than all they say. */
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
      | { kind: 'publish'; name: string; record: TableRecord | null }
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
    this.#dependencies.memory.release(retiring.reservedBytes)
    retiring.onFreed()
  }

  /** Nobody waits for an HTTP worker that is gone. */
  #disconnect(httpWorker: HttpWorkerLink): void {
    if (!this.#httpWorkers.delete(httpWorker)) return
    this.#dependencies.onGone(httpWorker)
    for (const acknowledge of httpWorker.unacknowledged.values()) acknowledge()
    for (const key of [...this.#retiring.keys()]) this.#released(httpWorker, key)
  }
}
