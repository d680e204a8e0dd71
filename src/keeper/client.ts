import type { MessagePort } from 'node:worker_threads'
import { fromMessage, GatherdError } from '../core/errors.ts'
import { Registry } from '../tables/registry.ts'
import type { FrontMessage, KeeperCalls, KeeperHealth, KeeperMessage, KeeperProcedure } from './protocol.ts'

interface Pending {
  resolve: (answer: unknown) => void
  reject: (error: Error) => void
}

/**
 * A front's end of the line to the keeper: calls go out, answers and publications come in. Publications are applied to
 * `registry` before they are acknowledged, so when a call is answered its effects are visible on every front.
 */
export class KeeperClient {
  readonly registry: Registry
  readonly #port: MessagePort
  readonly #onHealth: (health: KeeperHealth) => void
  readonly #pending = new Map<number, Pending>()
  #nextCallId = 1
  #closed = false

  /**
   * `onReleased(key)`: nothing in this thread reads the version any more; whoever else keeps it must let go. `onHealth`: what the keeper is able
   * to do has changed.
   */
  constructor(port: MessagePort, onReleased: (key: string) => void = () => {}, onHealth: (health: KeeperHealth) => void = () => {}) {
    this.#port = port
    this.#onHealth = onHealth
    this.registry = new Registry((key) => {
      onReleased(key)
      this.#send({ kind: 'released', key })
    })
    port.on('message', (message: KeeperMessage) => this.#receive(message))
    port.on('close', () => this.#fail())
  }

  /** Calls a procedure of the keeper. `transfer` hands buffers over instead of copying them. Rejects with the keeper's refusal. */
  call<Name extends KeeperProcedure>(
    procedure: Name,
    argument: KeeperCalls[Name]['argument'],
    transfer: readonly ArrayBuffer[] = [],
  ): Promise<KeeperCalls[Name]['answer']> {
    if (this.#closed) return Promise.reject(new GatherdError('SHUTTING_DOWN', 'the service is shutting down'))
    const callId = this.#nextCallId++
    return new Promise((resolve, reject) => {
      this.#pending.set(callId, { resolve: resolve as Pending['resolve'], reject })
      this.#send({ kind: 'call', callId, procedure, argument }, transfer)
    })
  }

  /** Ends the line. Calls without an answer are refused with SHUTTING_DOWN. */
  close(): void {
    this.#port.close()
    this.#fail()
  }

  #send(message: FrontMessage, transfer: readonly ArrayBuffer[] = []): void {
    if (!this.#closed) this.#port.postMessage(message, [...transfer])
  }

  #receive(message: KeeperMessage): void {
    if (message.kind === 'health') return this.#onHealth(message.health)
    if (message.kind === 'publish' || message.kind === 'aliases') {
      if (message.kind === 'publish') this.registry.publish(message.name, message.record)
      else this.registry.publishAliases(message.aliases)
      this.#send({ kind: 'published', publicationId: message.publicationId })
      return
    }
    const pending = this.#pending.get(message.callId)
    if (pending === undefined) return
    this.#pending.delete(message.callId)
    if (message.kind === 'answer') pending.resolve(message.answer)
    else pending.reject(fromMessage(message.error))
  }

  #fail(): void {
    this.#closed = true
    for (const { reject } of this.#pending.values()) reject(new GatherdError('SHUTTING_DOWN', 'the service is shutting down'))
    this.#pending.clear()
  }
}
