import type { MessagePort } from 'node:worker_threads'
import type { Arena } from '../tables/arena.ts'
import type { AliasRecord, TableRecord } from '../tables/handles.ts'
import type { TableMemory } from '../tables/memory.ts'
import type { TableExport } from './upkeep/exports.ts'
import { type Inbox, openInbox } from './updates/update-source.ts'
import type { AdapterFront } from './lifecycle/adapter-procedures.ts'
import type { FrontMessage, KeeperAnswer, KeeperCall, KeeperHealth, KeeperMessage } from './protocol.ts'
import type { Build } from './lifecycle/table-model.ts'

/** A front's line, and what it has under way. */
export interface Front extends AdapterFront {
  port: MessagePort
  /** Where its updates are; null until it has shown that. */
  inbox: Inbox | null
  builds: Map<number, Build>
  exports: Map<number, TableExport>
  /** Publications this front has not acknowledged yet. */
  unacknowledged: Map<number, () => void>
  /** Of this turn, still to be sent. */
  answers: KeeperAnswer[]
}

/** What a front that comes has to be told. */
export interface Published {
  tables: () => Iterable<TableRecord>
  aliases: () => AliasRecord[]
  health: () => KeeperHealth
}

export interface FrontsParts {
  memory: TableMemory
  /** The keeper's, into which updates are read. */
  arena: Arena
  published: Published
  onCall: (front: Front, call: KeeperCall) => void
  /** A front is gone, and with it whoever would go on with its builds and exports. */
  onGone: (front: Front) => void
}

interface Retiring {
  reservedBytes: number
  readers: Set<Front>
  onFreed: () => void
}

/** The lines to all fronts: what is published, and who still reads what has left. */
export class Fronts {
  readonly #parts: FrontsParts
  readonly #fronts = new Set<Front>()
  /** Versions and adapters that nobody may start to read, and the fronts that still do. */
  readonly #retiring = new Map<string, Retiring>()
  #nextPublicationId = 1

  constructor(parts: FrontsParts) {
    this.#parts = parts
  }

  /** Serves the front at the other end of `port`, beginning with every table there is. */
  connect(port: MessagePort): void {
    const maps = { builds: new Map(), adapterBuilds: new Map(), exports: new Map(), unacknowledged: new Map() }
    const front: Front = { port, inbox: null, ...maps, answers: [] }
    this.#fronts.add(front)
    port.on('message', (message: FrontMessage) => this.#receive(front, message))
    port.on('close', () => this.#disconnect(front))
    const { tables, aliases, health } = this.#parts.published
    for (const record of tables()) void this.#tell(front, { kind: 'publish', name: record.name, record })
    void this.#tell(front, { kind: 'aliases', aliases: aliases() })
    // Last: whoever hears of it has heard of every table.
    this.#send(front, { kind: 'health', health: health() })
  }

  /** Ends every line. */
  close(): void {
    for (const front of this.#fronts) front.port.close()
  }

  *[Symbol.iterator](): IterableIterator<Front> {
    yield* this.#fronts
  }

  /** Tells every front what the table is now; null: it is gone. Resolves when all have applied it. */
  async publish(name: string, record: TableRecord | null): Promise<void> {
    await Promise.all([...this.#fronts].map((front) => this.#tell(front, { kind: 'publish', name, record })))
  }

  /** Tells every front which aliases there are. Resolves when all have applied it. */
  async publishAliases(): Promise<void> {
    const aliases = this.#parts.published.aliases()
    await Promise.all([...this.#fronts].map((front) => this.#tell(front, { kind: 'aliases', aliases })))
  }

  /** Tells every front what the keeper is able to do. */
  publishHealth(): void {
    const health = this.#parts.published.health()
    for (const front of this.#fronts) this.#send(front, { kind: 'health', health })
  }

  /** The memory goes back when no front reads it any more; each says so after a publication without the key. */
  retire(key: string, reservedBytes: number, onFreed: () => void = () => {}): void {
    this.#retiring.set(key, { reservedBytes, readers: new Set(this.#fronts), onFreed })
    this.#freeWhenUnread(key)
  }

  /** Answers a call of a front. Those of one turn go as one message: to wake the other thread costs more than all they say. */
  answer(front: Front, answer: KeeperAnswer): void {
    if (front.answers.length === 0) queueMicrotask(() => this.#send(front, { kind: 'answers', answers: front.answers.splice(0) }))
    front.answers.push(answer)
  }

  #send(front: Front, message: KeeperMessage): void {
    front.port.postMessage(message)
  }

  #tell(
    front: Front,
    what: { kind: 'publish'; name: string; record: TableRecord | null } | { kind: 'aliases'; aliases: AliasRecord[] },
  ): Promise<void> {
    const publicationId = this.#nextPublicationId++
    return new Promise((resolve) => {
      front.unacknowledged.set(publicationId, resolve)
      this.#send(front, { ...what, publicationId })
    })
  }

  #receive(front: Front, message: FrontMessage): void {
    switch (message.kind) {
      case 'calls':
        for (const call of message.calls) this.#parts.onCall(front, call)
        return
      case 'published':
        front.unacknowledged.get(message.publicationId)?.()
        front.unacknowledged.delete(message.publicationId)
        return
      case 'shown':
        front.inbox = openInbox(message.memory, this.#parts.arena)
        return
      case 'released':
        this.#released(front, message.key)
    }
  }

  #released(front: Front, key: string): void {
    this.#retiring.get(key)?.readers.delete(front)
    this.#freeWhenUnread(key)
  }

  #freeWhenUnread(key: string): void {
    const retiring = this.#retiring.get(key)
    if (retiring === undefined || retiring.readers.size > 0) return
    this.#retiring.delete(key)
    this.#parts.memory.release(retiring.reservedBytes)
    retiring.onFreed()
  }

  /** Nobody waits for a front that is gone. */
  #disconnect(front: Front): void {
    if (!this.#fronts.delete(front)) return
    this.#parts.onGone(front)
    for (const acknowledge of front.unacknowledged.values()) acknowledge()
    for (const key of [...this.#retiring.keys()]) this.#released(front, key)
  }
}
