import { createHash } from 'node:crypto'
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { rowCrc } from './catalog-rows.ts'
import { refuseData } from './refusals.ts'

/** An idempotency key and the first result of the request that carried it. */
export interface RememberedKey {
  /** Of {@link hashKey}. */
  hash: Uint8Array
  /** SHA-256 of the request: the same key with another one is a mistake of the client. */
  request: Uint8Array
  /** The result, as JSON. */
  result: string
  createdAtMs: number
}

export const KEY_SCHEMA = `
  CREATE TABLE keys (id INTEGER PRIMARY KEY, hash BLOB NOT NULL, request BLOB NOT NULL, result TEXT NOT NULL,
    created_at REAL NOT NULL, crc INTEGER NOT NULL) STRICT;
`

const KEY_COUNT_MAX = 100_000
const KEY_AGE_MS_MAX = 24 * 60 * 60 * 1000
/** Of a SHA-256, in hexadecimal: enough to tell keys apart, half the memory. */
const NAME_LENGTH = 32

/** The key under which a request is remembered. `scope` says whose key it is: the table and the operation. */
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
 * The idempotency keys of one database: rows only appended and dropped from the HTTP worker, found through a
 * map in memory, since an index of random hashes would cost a page per key and commit. At most 100,000, at
 * most 24 hours.
 */
export class KeyMemory {
  readonly #path: string
  readonly #select: StatementSync
  readonly #selectAll: StatementSync
  readonly #insert: StatementSync
  readonly #deleteThrough: StatementSync
  /** Oldest first. */
  readonly #entries = new Map<string, KeyEntry>()
  readonly #countMax: number
  #nextId = 1

  constructor(path: string, database: Pick<DatabaseSync, 'prepare'>, countMax: number = KEY_COUNT_MAX) {
    this.#path = path
    this.#countMax = countMax
    const columns = 'id, hash, request, result, created_at AS createdAtMs, crc'
    this.#select = database.prepare(`SELECT ${columns} FROM keys WHERE id = ?`)
    this.#selectAll = database.prepare(`SELECT ${columns} FROM keys ORDER BY id`)
    this.#insert = database.prepare(
      'INSERT INTO keys (id, hash, request, result, created_at, crc) VALUES (?, ?, ?, ?, ?, ?)',
    )
    this.#deleteThrough = database.prepare('DELETE FROM keys WHERE id <= ?')
  }

  get size(): number {
    return this.#entries.size
  }

  /** Fills the map. Refuses DamagedCatalog for a row whose checksum is wrong. */
  load(): void {
    for (const row of this.#selectAll.iterate() as Iterable<KeyRow>) {
      this.#check(row)
      this.#enter(row.hash, { id: row.id, createdAtMs: row.createdAtMs })
    }
  }

  find(hash: Uint8Array): RememberedKey | null {
    const entry = this.#entries.get(nameOf(hash))
    if (entry === undefined) return null
    const row = this.#select.get(entry.id) as KeyRow | undefined
    if (row === undefined)
      return refuseData('DamagedCatalog', this.#path, `the idempotency key ${entry.id} is gone`)
    this.#check(row)
    return { hash: row.hash, request: row.request, result: row.result, createdAtMs: row.createdAtMs }
  }

  /**
   * Writes `keys`, inside a transaction of the caller, and drops what is too old or too much, a bounded
   * number at a time. The function returned is to be called when that transaction is committed: only then are
   * they found.
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
      if (excess-- <= 0 && nowMs - entry[1].createdAtMs <= KEY_AGE_MS_MAX) break
      dropped.push(entry)
    }
    return dropped
  }

  /** A key that is remembered again moves to the end: the map stays in the order of ids. */
  #enter(hash: Uint8Array, entry: KeyEntry): void {
    const name = nameOf(hash)
    this.#entries.delete(name)
    this.#entries.set(name, entry)
    this.#nextId = entry.id + 1
  }

  #check(row: KeyRow): void {
    if (keyCrc(row) !== row.crc)
      refuseData('DamagedCatalog', this.#path, `the idempotency key ${row.id} has a wrong checksum`)
  }
}

const hexOf = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex')
const nameOf = (hash: Uint8Array): string => hexOf(hash).slice(0, NAME_LENGTH)

const keyCrc = ({ id, hash, request, result, createdAtMs }: Omit<KeyRow, 'crc'>): number =>
  rowCrc('key', [id, hexOf(hash), hexOf(request), result, createdAtMs])
