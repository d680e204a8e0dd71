/** Idempotency keys: an update that is sent again with its key is answered with its first result. */
import { refuse } from '../../core/errors.ts'
import { LIMITS } from '../../core/limits.ts'
import type { RememberedKey } from '../../storage/key-memory.ts'
import { hashKey } from '../../storage/key-memory.ts'
import type { Store } from '../../storage/store.ts'
import type { UpdateKey, UpdateResult } from '../protocol.ts'
import type { VersionModel } from '../lifecycle/table-model.ts'

/** A key whose update is running: no other update may use it until it is released. */
export interface KeyReservation {
  name: string
  hash: Uint8Array
  request: Uint8Array
}

interface UnsavedKey {
  /** The key of its handle, not the version itself, so that a retired version can be garbage collected. */
  versionKey: string
  remembered: RememberedKey
}

const nameOf = (hash: Uint8Array): string =>
  Buffer.from(hash.buffer, hash.byteOffset, hash.length).toString('latin1')

const isSame = (one: Uint8Array, other: Uint8Array): boolean => Buffer.compare(one, other) === 0

/**
 * The idempotency keys of all tables: those in use, and the results of earlier ones. The store has the keys
 * of journaled updates. Keys of mode `none` stay here until a snapshot contains their updates: a crash undoes
 * those updates, and the client must be able to apply them again.
 */
export class Idempotency {
  readonly #store: Store
  readonly #reservations = new Map<string, KeyReservation>()
  /** Oldest first. */
  readonly #unsaved = new Map<string, UnsavedKey>()
  /** A monotonic clock: if the system's clock is set forward, keys must not expire early. */
  readonly #startMs = Date.now() - performance.now()

  constructor(store: Store) {
    this.#store = store
  }

  /**
   * Begins to use a key of a table. Refuses IDEMPOTENCY_IN_FLIGHT, and IDEMPOTENCY_MISMATCH when another
   * request uses it.
   */
  reserve(tableId: number, { key, request }: UpdateKey): KeyReservation {
    const hash = hashKey(String(tableId), key)
    const reservation = { name: nameOf(hash), hash, request }
    const other = this.#reservations.get(reservation.name)
    if (other !== undefined) {
      if (!isSame(other.request, request)) refuseMismatch()
      refuse('IDEMPOTENCY_IN_FLIGHT', 'the first request with this Idempotency-Key is still running', {
        headers: { 'Retry-After': '1' },
      })
    }
    this.#reservations.set(reservation.name, reservation)
    return reservation
  }

  /** Ends the use of a key, after success or failure. */
  release(reservation: KeyReservation): void {
    this.#reservations.delete(reservation.name)
  }

  /** Finds the result of the first request with the key, or null. Refuses IDEMPOTENCY_MISMATCH. */
  find({ name, hash, request }: KeyReservation): UpdateResult | null {
    const remembered = this.#unsaved.get(name)?.remembered ?? this.#store.findKey(hash)
    if (remembered === null) return null
    if (!isSame(remembered.request, request)) refuseMismatch()
    return { ...(JSON.parse(remembered.result) as UpdateResult), replayed: true }
  }

  /**
   * Finds the result of an earlier request with the key, or null, without applying anything. Refuses as
   * `reserve` and `find`.
   */
  recall(tableId: number, key: UpdateKey): UpdateResult | null {
    const reservation = this.reserve(tableId, key)
    try {
      return this.find(reservation)
    } finally {
      this.release(reservation)
    }
  }

  /** Makes the key in the form in which it is stored with its update. */
  describe({ hash, request }: KeyReservation, result: UpdateResult): RememberedKey {
    return { hash, request, result: JSON.stringify(result), createdAtMs: this.#startMs + performance.now() }
  }

  /** Remembers the key of an update that no journal holds. Drops the oldest one when there are too many. */
  keepUnsaved(model: VersionModel, reservation: KeyReservation, result: UpdateResult): void {
    this.#unsaved.set(reservation.name, {
      versionKey: model.handle.key,
      remembered: this.describe(reservation, result),
    })
    const [oldest] = this.#unsaved.keys()
    if (this.#unsaved.size > LIMITS.idempotencyKeyCountMax) this.#unsaved.delete(oldest)
  }

  /** The keys of a version that are only here. The caller commits them with the listing of its snapshot. */
  listUnsaved(model: VersionModel): RememberedKey[] {
    return [...this.#unsaved.values()]
      .filter(({ versionKey }) => versionKey === model.handle.key)
      .map(({ remembered }) => remembered)
  }

  /** Drops keys that are in the store now. */
  forgetUnsaved(saved: readonly RememberedKey[]): void {
    for (const { hash } of saved) this.#unsaved.delete(nameOf(hash))
  }
}

const refuseMismatch = (): never =>
  refuse('IDEMPOTENCY_MISMATCH', 'the Idempotency-Key was used for another request; choose a new one')
