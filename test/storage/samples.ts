/**
 * Sample rows of the catalog, sample records and stores over temporary folders, shared by the tests of
 * storage and of the writer, and a SQLite whose statements can be made to fail.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach } from 'vitest'
import type { Settings } from '../../src/core/types.ts'
import type {
  CatalogAdapter,
  CatalogChange,
  CatalogSnapshot,
  CatalogTable,
  CatalogVersion,
} from '../../src/storage/catalog-rows.ts'
import type { JournalRecord } from '../../src/storage/journal-record.ts'
import { hashKey, type RememberedKey } from '../../src/storage/key-memory.ts'
import { openStore, type OpenStoreOptions } from '../../src/storage/open-store.ts'
import { StoredDataRefusal, type RefusalCode } from '../../src/storage/refusals.ts'
import type { Store } from '../../src/storage/store.ts'
import { SyncedWatermark } from '../../src/storage/synced-watermark.ts'

const directories: string[] = []
const stores: Store[] = []
afterEach(() => {
  for (const store of stores.splice(0)) store.close()
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true })
})

/** Makes a directory for one test, which is removed after it. */
export const makeFolder = (): string => {
  const directory = mkdtempSync(join(tmpdir(), 'gatherd-durable-'))
  directories.push(directory)
  return directory
}

/** Opens a store that is closed after the test, unless the test closes it. */
export const openSample = (directory: string, options?: OpenStoreOptions): Store => {
  const { store } = openStore(directory, options)
  stores.push(store)
  return store
}

export const settings: Settings = {
  out_of_range: 'error',
  fill_value: null,
  padding_index: null,
  optimizer: {
    kind: 'adagrad',
    learning_rate: 0.01,
    initial_accumulator: 0,
    epsilon: 1e-10,
    epsilon_inside_sqrt: false,
  },
  durability: 'disk',
  keep_versions: 2,
}

export const sampleTable = (changes: Partial<CatalogTable> = {}): CatalogTable => ({
  id: 1,
  name: 'user',
  createdAtMs: 1_700_000_000_000,
  changedAtMs: 1_700_000_000_001.5,
  settings,
  highest: 1,
  current: 1,
  stateEpoch: 0,
  revision: 0,
  ...changes,
})

export const sampleVersion = (changes: Partial<CatalogVersion> = {}): CatalogVersion => ({
  tableId: 1,
  version: 1,
  rows: 100,
  dim: 2,
  dtype: 'float32',
  createdAtMs: 1_700_000_000_000,
  reserved: 100,
  ...changes,
})

export const sampleSnapshot = (changes: Partial<CatalogSnapshot> = {}): CatalogSnapshot => ({
  id: 2,
  tableId: 1,
  version: 1,
  file: 'a.safetensors',
  startSequence: 0,
  endSequence: 0,
  step: 0,
  createdAtMs: 1_700_000_000_000,
  bytes: 1000,
  sha256: 'ab'.repeat(32),
  stateKind: null,
  stateEpoch: 0,
  ...changes,
})

export const sampleAdapter = (changes: Partial<CatalogAdapter> = {}): CatalogAdapter => ({
  tableId: 1,
  version: 1,
  rank: 4,
  alpha: 8.5,
  attachedAtMs: 1_700_000_000_002,
  dtype: 'float16',
  fileA: 'b.safetensors',
  sha256A: 'cd'.repeat(32),
  fileB: 'c.safetensors',
  sha256B: 'ef'.repeat(32),
  ...changes,
})

/** Creates a table with one version, with which most tests begin. */
export const sampleChanges = (): CatalogChange[] => [
  { kind: 'put-table', table: sampleTable() },
  { kind: 'put-version', versionRow: sampleVersion() },
]

/** Returns the record of update `sequence`: one row, each byte of which is the sequence. */
export const sampleRecord = (sequence: number, changes: Partial<JournalRecord> = {}): JournalRecord => ({
  tableId: 1,
  version: 1,
  sequence,
  step: sequence,
  stateEpoch: 0,
  updatedAtMs: 1_700_000_000_000 + sequence,
  durability: 'disk',
  ids: new Int32Array([sequence % 100]),
  rowBytes: 8,
  rows: new Uint8Array(8).fill(sequence),
  state: null,
  ...changes,
})

/** Young, because a key counts for 24 hours. */
const KEY_CREATED_AT_MS = Date.now()

export const sampleKey = (name: string, changes: Partial<RememberedKey> = {}): RememberedKey => ({
  hash: hashKey('user/rows', name),
  request: hashKey('body', name),
  result: `{"sequence":"${name}"}`,
  createdAtMs: KEY_CREATED_AT_MS,
  ...changes,
})

/** Returns the sequences of a version that can be read without a gap from the start. */
export const readSequences = (store: Store, tableId = 1, version = 1, after = 0): number[] =>
  [...store.readJournal(tableId, version, after)].map(({ sequence }) => sequence)

/** Returns the code with which `action` was refused, or null when it was not. Other errors fail the test. */
export const refusalOf = (action: () => unknown): RefusalCode | null => {
  try {
    action()
  } catch (error) {
    if (error instanceof StoredDataRefusal) return error.code
    throw error
  }
  return null
}

/**
 * Makes a directory forget how far its logs were synced, as a power cut does, or a tool that has moved them
 * into the databases.
 */
export const forgetSynced = (directory: string): void => {
  for (const name of ['catalog.mark', 'os.mark']) {
    const watermark = new SyncedWatermark(join(directory, name))
    watermark.clear()
    watermark.close()
  }
}

/** Returns what `action` throws, or undefined when it does not throw. */
export const errorOf = (action: () => unknown): unknown => {
  try {
    action()
  } catch (error) {
    return error
  }
  return undefined
}

/** Reads a file that is not an open database: to open and close one here would drop the store's lock. */
export const readBytes = (path: string): Buffer => readFileSync(path)

export const refusalOfAsync = async (action: () => Promise<unknown>): Promise<RefusalCode | null> => {
  try {
    await action()
  } catch (error) {
    if (error instanceof StoredDataRefusal) return error.code
    throw error
  }
  return null
}

/**
 * A SQLite that can be made to fail: while `fault` is set, statements that match its `sql` fail. With
 * `comesAfter` they take effect first.
 */
export class FaultySqlite {
  fault: { sql: string; errcode: number; keepsTransaction?: boolean; comesAfter?: boolean } | null = null
  /** The open databases by path. */
  readonly databases = new Map<string, DatabaseSync>()

  readonly open = (path: string): DatabaseSync => {
    const database = new DatabaseSync(path, { timeout: 0 })
    this.databases.set(path, database)
    const prepare = database.prepare.bind(database)
    database.prepare = (sql, ...rest) => {
      const statement = prepare(sql, ...rest)
      for (const method of ['run', 'get'] as const) {
        const call = statement[method].bind(statement) as (...values: unknown[]) => never
        statement[method] = (...values: unknown[]) => {
          if (this.fault?.comesAfter === true && sql.startsWith(this.fault.sql)) call(...values)
          this.#fail(database, sql)
          return call(...values)
        }
      }
      return statement
    }
    return database
  }

  #fail(database: DatabaseSync, sql: string): void {
    const { fault } = this
    if (fault === null || !sql.startsWith(fault.sql)) return
    // SQLite rolls most failed commits back by itself.
    if (database.isTransaction && fault.keepsTransaction !== true) database.exec('ROLLBACK')
    throw Object.assign(new Error('a fault of the test'), {
      code: 'ERR_SQLITE_ERROR',
      errcode: fault.errcode,
    })
  }
}
