/** The idempotency keys of one database, and the results that belong to them. */
import { createHash } from 'node:crypto'
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { LIMITS } from '../core/limits.ts'
import { rowCrc } from './catalog-rows.ts'
import { refuseData, StoredDataRefusal } from './refusals.ts'

/** An idempotency key and the first result of the request that carried it. */
export interface RememberedKey {
  /** Made by {@link hashKey}. */
  hash: Uint8Array
  /** SHA-256 of the request. The same key with another request is an error of the client. */
  request: Uint8Array
  /** The result, as JSON. */
  result: string
  createdAtMs: number
}

export const KEY_SCHEMA = `
  CREATE TABLE keys (id INTEGER PRIMARY KEY, hash BLOB NOT NULL, request BLOB NOT NULL, result TEXT NOT NULL,
    created_at REAL NOT NULL, crc INTEGER NOT NULL) STRICT;
`

/**
 * Number of hexadecimal digits of the hash that the map uses, which are enough to tell keys apart at half the
 * memory.
 */
const NAME_LENGTH = 32

/** Makes the hash under which a request is remembered. `scope` is the namespace of the key: its table. */
export const hashKey = (scope: string, key: string): Uint8Array =>
  new Uint8Array(
    createHash('sha256')
      .update(JSON.stringify([scope, key]))
      .digest(),
  )

interface KeyEntry {
  id: number
  createdAtMs: number
}

type KeyRow = RememberedKey & { id: number; crc: number }

/**
 * The idempotency keys of one database: at most 100,000, for at most 24 hours. Rows are appended at the end
 * and deleted at the beginning, and a map in memory finds them: an index of random hashes in the file would
 * cost each commit one page per key.
 */
export class KeyMemory {
  /** Keys that cannot be trusted. They prevent a start, unless the operator has chosen to lose them. */
  readonly damaged: { id: number; refusal: StoredDataRefusal }[] = []
  readonly #path: string
  readonly #select: StatementSync
  readonly #selectAll: StatementSync
  readonly #insert: StatementSync
  readonly #delete: StatementSync
  readonly #deleteThrough: StatementSync
  /** Oldest first. */
  readonly #entries = new Map<string, KeyEntry>()
  readonly #countMax: number
  #nextId = 1
  #newestMs: number | null = null

  constructor(
    path: string,
    database: Pick<DatabaseSync, 'prepare'>,
    countMax: number = LIMITS.idempotencyKeyCountMax,
  ) {
    this.#path = path
    this.#countMax = countMax
    const columns = 'id, hash, request, result, created_at AS createdAtMs, crc'
    this.#select = database.prepare(`SELECT ${columns} FROM keys WHERE id = ?`)
    this.#selectAll = database.prepare(`SELECT ${columns} FROM keys ORDER BY id`)
    this.#insert = database.prepare(
      'INSERT INTO keys (id, hash, request, result, created_at, crc) VALUES (?, ?, ?, ?, ?, ?)',
    )
    this.#delete = database.prepare('DELETE FROM keys WHERE id = ?')
    this.#deleteThrough = database.prepare('DELETE FROM keys WHERE id <= ?')
  }

  /** The number of keys. */
  get size(): number {
    return this.#entries.size
  }

  /** The latest time of a key; null when there is none. */
  get newestMs(): number | null {
    return this.#newestMs
  }

  /**
   * Fills the map. Rows whose checksum is wrong are collected and not refused, because the caller decides
   * about them.
   */
  load(): void {
    for (const row of this.#selectAll.iterate() as Iterable<KeyRow>) {
      const refusal = this.#verify(row)
      if (refusal === null) this.#enter(row.hash, { id: row.id, createdAtMs: row.createdAtMs })
      else {
        this.damaged.push({ id: row.id, refusal })
        this.#nextId = row.id + 1
      }
    }
  }

  /** Deletes the keys that cannot be trusted, inside a transaction of the caller. */
  deleteDamaged(): void {
    for (const { id } of this.damaged) this.#delete.run(id)
  }

  /** Finds the key with this hash; null when there is none. Refuses DamagedCatalog and DamagedKey. */
  find(hash: Uint8Array): RememberedKey | null {
    const entry = this.#entries.get(nameOf(hash))
    if (entry === undefined) return null
    const row = this.#select.get(entry.id) as KeyRow | undefined
    if (row === undefined)
      return refuseData('DamagedCatalog', this.#path, `the idempotency key ${entry.id} is gone`)
    const refusal = this.#verify(row)
    if (refusal !== null) throw refusal
    return { hash: row.hash, request: row.request, result: row.result, createdAtMs: row.createdAtMs }
  }

  /**
   * Writes `keys`, inside a transaction of the caller, and drops keys that are too old or too many, a bounded
   * number at a time. The caller calls the returned function after the commit; only then are the keys found.
   */
  write(keys: readonly RememberedKey[]): () => void {
    if (keys.length === 0) return () => {}
    keys.forEach((key, i) => {
      const id = this.#nextId + i
      this.#insert.run(id, key.hash, key.request, key.result, key.createdAtMs, keyCrc({ ...key, id }))
    })
    const dropped = this.#findDropped(keys.length, keys[keys.length - 1].createdAtMs)
    const last = dropped.at(-1)
    if (last !== undefined) this.#deleteThrough.run(last[1].id)
    return () => {
      for (const [name] of dropped) this.#entries.delete(name)
      for (const key of keys) this.#enter(key.hash, { id: this.#nextId, createdAtMs: key.createdAtMs })
    }
  }

  #findDropped(addedCount: number, nowMs: number): [string, KeyEntry][] {
    const dropped: [string, KeyEntry][] = []
    let excess = this.#entries.size + addedCount - this.#countMax
    for (const entry of this.#entries) {
      if (dropped.length >= 2 * addedCount + 16) break
      if (excess-- <= 0 && nowMs - entry[1].createdAtMs <= LIMITS.idempotencyKeyAgeMsMax) break
      dropped.push(entry)
    }
    return dropped
  }

  /**
   * Enters a key at the end of the map. A key that is remembered again moves there, so that the map stays in
   * the order of ids.
   */
  #enter(hash: Uint8Array, entry: KeyEntry): void {
    const name = nameOf(hash)
    this.#entries.delete(name)
    this.#entries.set(name, entry)
    this.#nextId = entry.id + 1
    this.#newestMs = Math.max(this.#newestMs ?? 0, entry.createdAtMs)
  }

  #verify(row: KeyRow): StoredDataRefusal | null {
    if (keyCrc(row) === row.crc) return null
    const detail = `the idempotency key ${row.id} has a wrong checksum`
    return new StoredDataRefusal('DamagedKey', this.#path, detail)
  }
}

const hexOf = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex')
const nameOf = (hash: Uint8Array): string => hexOf(hash).slice(0, NAME_LENGTH)

const keyCrc = ({ id, hash, request, result, createdAtMs }: Omit<KeyRow, 'crc'>): number =>
  rowCrc('key', [id, hexOf(hash), hexOf(request), result, createdAtMs])
