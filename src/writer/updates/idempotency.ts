/** Idempotency keys: an update that is sent again with its key is answered with its first result. */
import { refuse } from '../../core/errors.ts'
import { LIMITS } from '../../core/limits.ts'
import type { RememberedKey } from '../../storage/key-memory.ts'
import { hashKey } from '../../storage/key-memory.ts'
import type { Store } from '../../storage/store.ts'
import type { UpdateKey, UpdateResult } from '../protocol.ts'
import { isTakenBack } from '../lifecycle/sequences.ts'
import type { TableModel, VersionModel } from '../lifecycle/table-model.ts'

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

/** The scope of the hash under which the changes of a table or alias are remembered. */
export const scopeOf = ({ kind, name }: { kind: 'table' | 'alias'; name: string }): string =>
  `${kind} ${name}`

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
  /** The hashes of keys of changes in progress. */
  readonly #held = new Set<string>()
  /** Oldest first. */
  readonly #unsaved = new Map<string, UnsavedKey>()

  constructor(store: Store) {
    this.#store = store
  }

  /**
   * Begins to use a key of a table. Refuses IDEMPOTENCY_IN_FLIGHT, and IDEMPOTENCY_MISMATCH when another
   * request uses it.
   */
  reserve(table: Pick<TableModel, 'id' | 'name'>, { key, request }: UpdateKey): KeyReservation {
    const hash = hashKey(String(table.id), key)
    const reservation = { name: nameOf(hash), hash, request }
    const other = this.#reservations.get(reservation.name)
    if (other !== undefined) {
      if (!isSame(other.request, request)) refuseMismatch()
      refuseInFlight()
    }
    const ofChange = hashKey(scopeOf({ kind: 'table', name: table.name }), key)
    if (this.#held.has(nameOf(ofChange)) || this.#store.findKey(ofChange) !== null) refuseMismatch()
    this.#reservations.set(reservation.name, reservation)
    return reservation
  }

  /** Reserves a key of a change that is no update, by its hash. Refuses IDEMPOTENCY_IN_FLIGHT. */
  hold(hash: Uint8Array): void {
    if (this.#held.has(nameOf(hash))) refuseInFlight()
    this.#held.add(nameOf(hash))
  }

  /** Ends what {@link Idempotency.hold} began. */
  releaseHash(hash: Uint8Array): void {
    this.#held.delete(nameOf(hash))
  }

  /** Whether an update of the table has used the key, or uses it now. */
  isUsedByUpdate(table: TableModel, key: string): boolean {
    const hash = hashKey(String(table.id), key)
    const name = nameOf(hash)
    if (this.#reservations.has(name) || this.#unsaved.has(name)) return true
    return this.#store.findKey(hash, (remembered) => isValid(table, remembered)) !== null
  }

  /** Ends the use of a key, after success or failure. */
  release(reservation: KeyReservation): void {
    this.#reservations.delete(reservation.name)
  }

  /**
   * Finds the result of the first request with the key, or null; a result that was taken back counts for
   * nothing. Refuses IDEMPOTENCY_MISMATCH.
   */
  find({ name, hash, request }: KeyReservation, table: TableModel): UpdateResult | null {
    const remembered =
      this.#unsaved.get(name)?.remembered ?? this.#store.findKey(hash, (stored) => isValid(table, stored))
    if (remembered === null) return null
    if (!isSame(remembered.request, request)) refuseMismatch()
    return { ...(JSON.parse(remembered.result) as UpdateResult), replayed: true }
  }

  /**
   * Finds the result of an earlier request with the key, or null, without applying anything. Refuses as
   * `reserve` and `find`.
   */
  recall(table: TableModel, key: UpdateKey): UpdateResult | null {
    const reservation = this.reserve(table, key)
    try {
      return this.find(reservation, table)
    } finally {
      this.release(reservation)
    }
  }

  /** Makes the key in the form in which it is stored with its update. */
  describe({ hash, request }: KeyReservation, result: UpdateResult): RememberedKey {
    return { hash, request, result: JSON.stringify(result), createdAtMs: this.#store.clock.now() }
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

/** Whether the update of a key is still part of its table. */
const isValid = ({ versions }: TableModel, { result }: RememberedKey): boolean => {
  const { version, sequence } = JSON.parse(result) as UpdateResult
  const model = versions.get(version)
  return model === undefined || !isTakenBack(model, sequence)
}

/** Refuses a key whose first request is still running. */
export const refuseInFlight = (): never =>
  refuse('IDEMPOTENCY_IN_FLIGHT', 'the first request with this Idempotency-Key is still running', {
    headers: { 'Retry-After': '1' },
  })

/** Refuses a key that another request has used. */
export const refuseMismatch = (): never =>
  refuse('IDEMPOTENCY_MISMATCH', 'the Idempotency-Key was used for another request; choose a new one')
