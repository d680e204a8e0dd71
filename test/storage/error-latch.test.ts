import { appendFileSync, statSync } from 'node:fs'
import type { DatabaseSync } from 'node:sqlite'
import { describe, expect, test } from 'vitest'
import { GatherdError } from '../../src/core/errors.ts'
import { StoreFailed } from '../../src/storage/refusals.ts'
import type { Store } from '../../src/storage/store.ts'
import {
  errorOf,
  FaultySqlite,
  makeFolder,
  openSample,
  readSequences,
  sampleChanges,
  sampleRecord,
} from './samples.ts'

const FULL = 13
const FSYNC = 1034
const WRITE = 778

const prepare = () => {
  const sqlite = new FaultySqlite()
  const directory = makeFolder()
  const store = openSample(directory, { open: sqlite.open })
  store.commit({ records: [sampleRecord(1)], changes: sampleChanges() })
  return { sqlite, directory, store }
}

/** Every way to write to a store. All of them must refuse after one write has failed. */
const writes: [string, (store: Store) => void][] = [
  ['a commit', (store) => store.commit({ records: [sampleRecord(9)] })],
  ['a commit of mode os', (store) => store.commitOs({ records: [sampleRecord(9, { durability: 'os' })] })],
  ['a change of the catalog', (store) => store.commit({ changes: sampleChanges() })],
  ['a prune', (store) => store.pruneJournal(1, 1, 1)],
  ['a discard', (store) => store.discardJournal(1, 1, 0)],
  ['a checkpoint', (store) => store.checkpoint()],
]

describe('A store after a failed write or sync', () => {
  for (const errcode of [FSYNC, WRITE, 10]) {
    test(`commits nothing more after SQLite error ${errcode}, although SQLite itself would`, () => {
      const { sqlite, store, directory } = prepare()
      sqlite.fault = { sql: 'COMMIT', errcode }
      expect(() => store.commit({ records: [sampleRecord(2)] })).toThrow(StoreFailed)
      sqlite.fault = null
      for (const [, write] of writes) expect(() => write(store)).toThrow(StoreFailed)
      expect(store.failure?.message).toContain(`SQLite ${errcode}`)
      expect(readSequences(store)).toEqual([1])
      store.close()
      // A new store tries the disk again.
      const again = openSample(directory)
      expect(readSequences(again)).toEqual([1])
      again.commit({ records: [sampleRecord(2)] })
    })
  }

  test.each(writes)('refuses commits when the failed write was %s', (_name, write) => {
    const { sqlite, store } = prepare()
    for (const sql of ['COMMIT', 'PRAGMA wal_checkpoint(RESTART)']) {
      sqlite.fault = { sql, errcode: FSYNC }
      if (store.failure === null) errorOf(() => write(store))
    }
    sqlite.fault = null
    expect(store.failure).toBeInstanceOf(StoreFailed)
    expect(() => store.commit({ records: [sampleRecord(2)] })).toThrow(StoreFailed)
  })

  test('rolls back a transaction that SQLite left open', () => {
    const { sqlite, store } = prepare()
    sqlite.fault = { sql: 'COMMIT', errcode: FSYNC, keepsTransaction: true }
    expect(() => store.commit({ records: [sampleRecord(2)] })).toThrow(StoreFailed)
    expect(sqlite.databases.get(store.paths.catalog)?.isTransaction).toBe(false)
  })

  test('refuses commits when the sync of a snapshot has failed, too', () => {
    const { store } = prepare()
    const error = store.classify(
      'the sync of a snapshot',
      Object.assign(new Error('EIO: i/o error, fsync'), { code: 'EIO' }),
    )
    expect(error).toBeInstanceOf(StoreFailed)
    expect(() => store.commit({ records: [sampleRecord(2)] })).toThrow('the sync of a snapshot failed: EIO')
  })
})

describe('a full disk', () => {
  test('fails the update with 507 and changes nothing, and updates succeed again once there is space', () => {
    const { sqlite, store, directory } = prepare()
    for (const keepsTransaction of [false, true]) {
      for (const sql of ['COMMIT', 'INSERT INTO journal']) {
        sqlite.fault = { sql, errcode: FULL, keepsTransaction }
        const error = errorOf(() => store.commit({ records: [sampleRecord(2)] }))
        expect(error).toBeInstanceOf(GatherdError)
        expect((error as GatherdError).code).toBe('DISK_FULL')
      }
    }
    sqlite.fault = { sql: 'PRAGMA wal_checkpoint(RESTART)', errcode: FULL }
    expect((errorOf(() => store.checkpoint()) as GatherdError).code).toBe('DISK_FULL')
    expect(
      (store.classify('writing a snapshot', Object.assign(new Error(), { code: 'ENOSPC' })) as GatherdError)
        .code,
    ).toBe('DISK_FULL')
    sqlite.fault = null
    expect(store.failure).toBe(null)
    store.commit({ records: [sampleRecord(2)] })
    store.close()
    expect(readSequences(openSample(directory))).toEqual([1, 2])
  })

  test('leaves no frames that a later scan takes for damage, because the log is cut, which needs no space', () => {
    const { sqlite, store, directory } = prepare()
    const path = `${store.paths.catalog}-wal`
    for (let sequence = 2; sequence <= 6; sequence++) store.commit({ records: [sampleRecord(sequence)] })
    const before = store.logBytes()
    sqlite.fault = { sql: 'COMMIT', errcode: FULL }
    errorOf(() => store.commit({ records: [sampleRecord(7)] }))
    sqlite.fault = null
    appendFileSync(path, Buffer.alloc(3 * 4120, 7))
    store.commit({ records: [sampleRecord(7)] })
    expect(store.logBytes()).toBeGreaterThan(before)
    expect(statSync(path).size).toBe(32 + store.logBytes())
    store.close()
    expect(readSequences(openSample(directory))).toEqual([1, 2, 3, 4, 5, 6, 7])
  })

  test('is handled when SQLite itself reports it and has already rolled the transaction back', () => {
    const { sqlite, store } = prepare()
    const database = sqlite.databases.get(store.paths.catalog) as DatabaseSync
    const { page_count: pages } = database.prepare('PRAGMA page_count').get() as { page_count: number }
    database.exec(`PRAGMA max_page_count = ${pages + 1}`)
    const large = sampleRecord(2, { ids: new Int32Array(10_000), rowBytes: 8, rows: new Uint8Array(80_000) })
    expect((errorOf(() => store.commit({ records: [large] })) as GatherdError).code).toBe('DISK_FULL')
    database.exec('PRAGMA max_page_count = 100000')
    store.commit({ records: [large] })
    expect(readSequences(store)).toEqual([1, 2])
  })
})
