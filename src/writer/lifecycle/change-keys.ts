/**
 * Idempotency keys of changes that are no updates: uploads, settings, deletions, rollbacks, adapters,
 * aliases. A key is reserved before the change begins, since an upload may take long, and stored in the
 * transaction of the change. It belongs to the name of a table or alias, so that it outlives a deletion.
 */
import { refuse } from '../../core/errors.ts'
import { hashKey, type RememberedKey } from '../../storage/key-memory.ts'
import type { Store } from '../../storage/store.ts'
import type { ChangeKey, WriterCalls } from '../protocol.ts'
import { type Idempotency, refuseInFlight, refuseMismatch, scopeOf } from '../updates/idempotency.ts'
import type { TableModel } from './table-model.ts'

/** The keys of changes in progress, by the numbers that HTTP workers know them by. */
export class ChangeKeys {
  readonly #store: Store
  readonly #keys: Idempotency
  readonly #hashes = new Map<number, Uint8Array>()

  constructor(store: Store, keys: Idempotency) {
    this.#store = store
    this.#keys = keys
  }

  /**
   * Reserves a key for one change. Returns whether an earlier change has stored it. Refuses
   * IDEMPOTENCY_IN_FLIGHT, and IDEMPOTENCY_MISMATCH when an update of the table has used it.
   */
  begin(
    keyId: number,
    { key, resource }: WriterCalls['beginKey']['argument'],
    table: TableModel | undefined,
  ): { isKnown: boolean } {
    const hash = hashKey(scopeOf(resource), key)
    if (resource.kind === 'table' && table !== undefined && this.#keys.isUsedByUpdate(table, key))
      refuseMismatch()
    this.#keys.hold(hash)
    this.#hashes.set(keyId, hash)
    return { isKnown: this.#store.findKey(hash) !== null }
  }

  /** Returns the stored result of a key, which is known. Refuses IDEMPOTENCY_MISMATCH. */
  recall({ keyId, request }: ChangeKey): { result: unknown } | null {
    const remembered = this.#store.findKey(this.#hashOf(keyId))
    if (remembered === null) return null
    if (Buffer.compare(remembered.request, request) !== 0) refuseMismatch()
    return { result: JSON.parse(remembered.result) as unknown }
  }

  /**
   * Makes the keys that the transaction of a change stores: none without a key. Refuses IDEMPOTENCY_IN_FLIGHT
   * when another change has stored the key meanwhile, which happens when the thread of the first one ended.
   */
  describe(key: ChangeKey | undefined, result: unknown): RememberedKey[] {
    if (key === undefined) return []
    const hash = this.#hashOf(key.keyId)
    if (this.#store.findKey(hash) !== null) refuseInFlight()
    return [
      {
        hash,
        request: key.request,
        result: JSON.stringify(result),
        createdAtMs: this.#store.clock.now(),
      },
    ]
  }

  /** Ends a reservation, after success or failure. An unknown one is no error. */
  end(keyId: number): void {
    const hash = this.#hashes.get(keyId)
    this.#hashes.delete(keyId)
    if (hash !== undefined) this.#keys.releaseHash(hash)
  }

  #hashOf(keyId: number): Uint8Array {
    return (
      this.#hashes.get(keyId) ??
      refuse('IDEMPOTENCY_IN_FLIGHT', 'the request with this Idempotency-Key was given up; send it again')
    )
  }
}
