/** The writer's client in an HTTP worker. */
import type { MessagePort } from 'node:worker_threads'
import { fromMessage, GatherdError } from '../core/errors.ts'
import { Registry } from '../tables/registry.ts'
import type { HttpWorkerMessage, WriterCall, WriterMessage } from './messages.ts'
import type { WriterCalls, WriterHealth, WriterProcedure } from './protocol.ts'

interface Pending {
  resolve: (answer: unknown) => void
  reject: (error: Error) => void
}

/**
 * Calls procedures of the writer over a message port and receives its publications. A publication is applied
 * to `registry` before it is acknowledged, so once a call is answered its effects are visible in every HTTP
 * worker.
 */
export class WriterClient {
  readonly registry: Registry
  readonly #port: MessagePort
  readonly #onHealth: (health: WriterHealth) => void
  readonly #buffered: WriterCall[] = []
  readonly #pending = new Map<number, Pending>()
  #nextCallId = 1
  #closed = false

  /**
   * `onReleased(key)` is called when no lookup of this thread reads the version any more; other holders of
   * its memory must drop it then. `onHealth` is called when the writer's health has changed.
   */
  constructor(
    port: MessagePort,
    onReleased: (key: string) => void = () => {},
    onHealth: (health: WriterHealth) => void = () => {},
  ) {
    this.#port = port
    this.#onHealth = onHealth
    this.registry = new Registry((key) => {
      onReleased(key)
      this.#send({ kind: 'released', key })
    })
    port.on('message', (message: WriterMessage) => this.#receive(message))
    port.on('close', () => this.#fail())
  }

  /**
   * Calls a procedure of the writer. Arrays in shared memory are not copied. Rejects with the writer's
   * refusal.
   */
  call<Name extends WriterProcedure>(
    procedure: Name,
    argument: WriterCalls[Name]['argument'],
  ): Promise<WriterCalls[Name]['answer']> {
    if (this.#closed) return Promise.reject(new GatherdError('SHUTTING_DOWN', 'the service is shutting down'))
    const callId = this.#nextCallId++
    return new Promise((resolve, reject) => {
      this.#pending.set(callId, { resolve: resolve as Pending['resolve'], reject })
      this.#buffer({ callId, procedure, argument })
    })
  }

  /**
   * Gives the writer the memory that will hold the updates of this HTTP worker. It must be called before the
   * first of them.
   */
  show(memory: WebAssembly.Memory): void {
    this.#send({ kind: 'shown', memory })
  }

  /** Closes the port. Calls without an answer are refused with SHUTTING_DOWN. */
  close(): void {
    this.#port.close()
    this.#fail()
  }

  /** Sends a message after the calls that are still buffered, to keep their order. */
  #send(message: HttpWorkerMessage): void {
    this.#flush()
    if (!this.#closed) this.#port.postMessage(message)
  }

  /**
   * Buffers a call. The calls of one event-loop iteration go as one message, because waking the other thread
   * costs more than their contents.
   */
  #buffer(call: WriterCall): void {
    if (this.#buffered.length === 0) setImmediate(() => this.#flush())
    this.#buffered.push(call)
  }

  #flush(): void {
    if (this.#buffered.length === 0) return
    const message: HttpWorkerMessage = { kind: 'calls', calls: this.#buffered.splice(0) }
    if (!this.#closed) this.#port.postMessage(message)
  }

  #receive(message: WriterMessage): void {
    if (message.kind === 'health') return this.#onHealth(message.health)
    if (message.kind === 'publish' || message.kind === 'aliases') {
      if (message.kind === 'publish') this.registry.publish(message.name, message.record)
      else this.registry.publishAliases(message.aliases)
      this.#send({ kind: 'published', publicationId: message.publicationId })
      return
    }
    for (const one of message.answers) {
      const pending = this.#pending.get(one.callId)
      if (pending === undefined) continue
      this.#pending.delete(one.callId)
      if (one.error === undefined) pending.resolve(one.answer)
      else pending.reject(fromMessage(one.error))
    }
  }

  #fail(): void {
    this.#closed = true
    for (const { reject } of this.#pending.values())
      reject(new GatherdError('SHUTTING_DOWN', 'the service is shutting down'))
    this.#pending.clear()
  }
}
