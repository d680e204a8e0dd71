import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { openStore } from '../../src/storage/open-store.ts'
import { StoredDataRefusal } from '../../src/storage/refusals.ts'
import type { Store } from '../../src/storage/store.ts'
import {
  forgetSynced,
  makeFolder,
  openSample,
  readSequences,
  refusalOf,
  sampleChanges,
  sampleKey,
  sampleRecord,
  sampleSnapshot,
} from './samples.ts'
import { runsOf } from '../helpers/property-runs.ts'

const LAST = 12

/** Reads everything that a store can return. */
const readEverything = (store: Store) => ({
  image: store.load(),
  records: [...store.readJournal(1, 1, 0)],
  keys: ['a', 'b', 'os'].map((name) => store.findKey(sampleKey(name).hash)?.result),
})

const fill = (store: Store): void => {
  store.commit({
    changes: [...sampleChanges(), { kind: 'put-snapshot', snapshot: sampleSnapshot() }],
    keys: [sampleKey('a')],
  })
  for (let sequence = 1; sequence <= LAST - 4; sequence++)
    store.commit({ records: [sampleRecord(sequence)], keys: sequence === 2 ? [sampleKey('b')] : [] })
  for (let sequence = LAST - 3; sequence <= LAST; sequence++) {
    store.commitOs({
      records: [sampleRecord(sequence, { durability: 'os' })],
      keys: sequence === LAST - 3 ? [sampleKey('os')] : [],
    })
  }
}

/** Makes a directory as a clean shutdown leaves it: everything is in the databases, and there are no logs. */
const makeClosed = () => {
  const directory = makeFolder()
  const store = openSample(directory)
  fill(store)
  const expected = readEverything(store)
  store.close()
  return { directory, expected }
}

/** Makes a directory as a crash leaves it: nearly everything is in the logs. */
const makeCrashed = () => {
  const live = makeFolder()
  const store = openSample(live)
  fill(store)
  const expected = readEverything(store)
  const directory = makeFolder()
  // Copying opens and closes the databases, which drops the lock of the store. It is not used after this.
  cpSync(live, directory, { recursive: true })
  store.close()
  return { directory, expected }
}

/**
 * Opens a copy of `directory` in which `bytes` replace one file. Returns its contents, or the code of the
 * refusal.
 */
const openDamaged = (
  directory: string,
  name: string,
  bytes: Uint8Array,
): ReturnType<typeof readEverything> | string => {
  const copy = makeFolder()
  cpSync(directory, copy, { recursive: true })
  writeFileSync(join(copy, name), bytes)
  let store: Store | null = null
  try {
    store = openStore(copy).store
    return readEverything(store)
  } catch (error) {
    if (error instanceof StoredDataRefusal) return error.code
    throw error
  } finally {
    store?.close()
  }
}

const flipBit = (bytes: Uint8Array, bit: number): Uint8Array => {
  const copy = bytes.slice()
  copy[bit >> 3] ^= 1 << (bit & 7)
  return copy
}

describe.each(['catalog.db', 'os.db'])('%s', (name) => {
  test('with any sector zeroed is refused, or has the same contents', () => {
    const { directory, expected } = makeClosed()
    const bytes = new Uint8Array(readFileSync(join(directory, name)))
    let refused = 0
    for (let at = 0; at < bytes.length; at += 512) {
      const found = openDamaged(directory, name, bytes.slice().fill(0, at, at + 512))
      if (typeof found === 'string') refused++
      else expect(found).toEqual(expected)
    }
    expect(refused).toBeGreaterThan(5)
  })

  test('with any bit flipped is refused, or has the same contents', () => {
    const { directory, expected } = makeClosed()
    const bytes = new Uint8Array(readFileSync(join(directory, name)))
    fc.assert(
      fc.property(fc.nat(bytes.length * 8 - 1), (bit) => {
        const found = openDamaged(directory, name, flipBit(bytes, bit))
        if (typeof found !== 'string') expect(found).toEqual(expected)
      }),
      { numRuns: runsOf({ quick: 20, long: 120 }) },
    )
  })

  test('is refused when it is cut at any byte, unless that is behind everything that it holds', () => {
    const { directory, expected } = makeClosed()
    const bytes = new Uint8Array(readFileSync(join(directory, name)))
    for (const length of [0, 1, 99, 100, 511, 512, 4095, 4096, 8192, bytes.length - 4096, bytes.length - 1]) {
      const found = openDamaged(directory, name, bytes.subarray(0, length))
      if (typeof found === 'string') expect(found).toMatch(/^(DamagedCatalog|UnknownFormat)$/)
      else expect([length, found]).toEqual([bytes.length - 1, expected])
    }
  })
})

describe('The log of catalog.db', () => {
  test('with any bit flipped is refused, or ends one commit early, or has the same contents', () => {
    const { directory, expected } = makeCrashed()
    const bytes = new Uint8Array(readFileSync(join(directory, 'catalog.db-wal')))
    const numRuns = runsOf({ quick: 30, long: 80 })
    let refused = 0
    fc.assert(
      fc.property(fc.nat(bytes.length * 8 - 1), (bit) => {
        const found = openDamaged(directory, 'catalog.db-wal', flipBit(bytes, bit))
        // The last commit of this file is a record in the middle of the version's journal, so its loss leaves
        // a gap.
        if (typeof found === 'string') refused++
        else expect(found).toEqual(expected)
      }),
      { numRuns },
    )
    expect(refused).toBeGreaterThan(numRuns * 0.75)
  })

  test.each(['cut at a commit', 'cut in a commit', 'empty', 'removed'])(
    'is refused when it is %s, unless recovery may go back, and then the log is kept',
    (damage) => {
      const { directory } = makeCrashed()
      const path = join(directory, 'catalog.db-wal')
      const bytes = readFileSync(path)
      if (damage === 'removed') rmSync(path)
      else if (damage === 'empty') writeFileSync(path, '')
      else writeFileSync(path, bytes.subarray(0, 32 + 6 * 4120 + (damage === 'cut in a commit' ? 5000 : 0)))
      const left = damage === 'removed' ? null : readFileSync(path)
      expect(refusalOf(() => openSample(directory))).toBe('DamagedLog')
      expect(existsSync(path) ? readFileSync(path) : null).toEqual(left)
      const { store, report } = openStore(directory, { goBackBeforeDamage: true })
      expect(report.catalogLog.lostCommitCount).toBeGreaterThan(0)
      store.close()
      if (left !== null) expect(readFileSync(`${path}.damaged`)).toEqual(left)
      expect(refusalOf(() => openSample(directory))).toBe(null)
    },
  )

  test('is refused when it is removed together with the record of what was synced', () => {
    const { directory } = makeCrashed()
    rmSync(join(directory, 'catalog.mark'))
    expect(refusalOf(() => openSample(directory))).toBe(null)
    const { directory: other } = makeCrashed()
    for (const name of ['catalog.mark', 'catalog.db-wal']) rmSync(join(other, name))
    expect(refusalOf(() => openSample(other))).toBe('DamagedLog')
  })

  test('is refused when it is an earlier log of the same database', () => {
    const live = makeFolder()
    const store = openSample(live)
    fill(store)
    const earlier = readFileSync(join(live, 'catalog.db-wal'))
    store.checkpoint()
    store.commit({ records: [sampleRecord(LAST + 1)] })
    const directory = makeFolder()
    cpSync(live, directory, { recursive: true })
    writeFileSync(join(directory, 'catalog.db-wal'), earlier)
    expect(refusalOf(() => openSample(directory))).toBe('DamagedLog')
  })

  test('loses commits at its end when it is cut and the watermark is older, which is the known limit', () => {
    const { directory } = makeCrashed()
    const bytes = readFileSync(join(directory, 'catalog.db-wal'))
    const copy = makeFolder()
    cpSync(directory, copy, { recursive: true })
    forgetSynced(copy)
    writeFileSync(join(copy, 'catalog.db-wal'), bytes.subarray(0, bytes.length - 5000))
    const store = openSample(copy)
    const { ranges } = store.inspectJournal(1, 1)
    expect(ranges.length).toBe(2)
    expect(ranges[0].first).toBe(1)
    expect(refusalOf(() => readSequences(store))).toBe('JournalGap')
  })

  test('is empty after every start, so that the next scan finds no old frames', () => {
    const { directory, expected } = makeCrashed()
    const bytes = readFileSync(join(directory, 'catalog.db-wal'))
    writeFileSync(join(directory, 'catalog.db-wal'), bytes.subarray(0, bytes.length - 30))
    forgetSynced(directory)
    const opened = openStore(directory)
    expect(opened.report.catalogLog.droppedFrameCount).toBeGreaterThan(0)
    expect(opened.store.logBytes()).toBe(0)
    expect(readFileSync(join(directory, 'catalog.db-wal')).length).toBe(0)
    opened.store.close()
    expect(expected.records.length).toBe(LAST)
  })

  test('is not changed by a start that refuses it as damaged', () => {
    const { directory } = makeCrashed()
    const path = join(directory, 'catalog.db-wal')
    const damaged = flipBit(new Uint8Array(readFileSync(path)), 20_000 * 8)
    writeFileSync(path, damaged)
    expect(refusalOf(() => openStore(directory))).toBe('DamagedLog')
    expect(new Uint8Array(readFileSync(path))).toEqual(damaged)
  })

  test('is used up to its damage when recovery may go back, and the loss is reported', () => {
    const { directory } = makeCrashed()
    const path = join(directory, 'catalog.db-wal')
    writeFileSync(path, flipBit(new Uint8Array(readFileSync(path)), 20_000 * 8))
    const { store, report } = openStore(directory, { goBackBeforeDamage: true })
    expect(report.catalogLog.lostCommitCount).toBeGreaterThan(0)
    const { ranges } = store.inspectJournal(1, 1)
    expect(ranges[0].last).toBeLessThan(LAST - 4)
    store.discardJournal(1, 1, ranges[0].last)
    expect(readSequences(store).at(-1)).toBe(ranges[0].last)
    store.commit({ records: [sampleRecord(ranges[0].last + 1)] })
    store.close()
    expect(refusalOf(() => openSample(directory))).toBe(null)
  })
})

describe('The log of os.db', () => {
  test('may be damaged after the synced part, and loses only its end', () => {
    const { directory } = makeCrashed()
    const path = join(directory, 'os.db-wal')
    const bytes = new Uint8Array(readFileSync(path))
    writeFileSync(path, flipBit(bytes, (bytes.length - 10_000) * 8))
    const { store, report } = openStore(directory)
    const sequences = readSequences(store)
    store.close()
    expect(report.osLog.lostCommitCount).toBeGreaterThan(0)
    expect(sequences.length).toBeLessThan(LAST)
    expect(sequences).toEqual(sequences.map((_, i) => i + 1))
  })

  test('is refused when it is damaged within the synced part', () => {
    const live = makeFolder()
    const store = openSample(live)
    fill(store)
    store.syncOs()
    const directory = makeFolder()
    cpSync(live, directory, { recursive: true })
    const path = join(directory, 'os.db-wal')
    writeFileSync(path, flipBit(new Uint8Array(readFileSync(path)), 5000 * 8))
    expect(refusalOf(() => openStore(directory))).toBe('DamagedLog')
  })
})

describe('A catalog that SQLite accepts as whole', () => {
  const makeChange = (): ((sql: string) => string | null) => {
    const { directory } = makeClosed()
    return (sql) => {
      const copy = makeFolder()
      cpSync(directory, copy, { recursive: true })
      const database = new DatabaseSync(join(copy, 'catalog.db'))
      database.exec(`PRAGMA synchronous = OFF; ${sql}`)
      database.close()
      return refusalOf(() => openSample(copy))
    }
  }

  test('is refused when a value was changed in any column of any table', () => {
    const columns = {
      tables: ['name', 'settings', 'highest', 'current', 'created_at', 'changed_at', 'state_epoch', 'id'],
      versions: ['rows', 'dim', 'dtype', 'created_at', 'version', 'table_id'],
      snapshots: [
        'file',
        'start_sequence',
        'end_sequence',
        'step',
        'bytes',
        'sha256',
        'created_at',
        'state_epoch',
        'version',
        'table_id',
        'id',
      ],
      seal: ['directory', 'next_id', 'contents'],
    }
    const change = makeChange()
    for (const [table, names] of Object.entries(columns)) {
      for (const name of names)
        expect(change(`UPDATE ${table} SET ${name} = 9`), `${table}.${name}`).toBe('DamagedCatalog')
    }
    expect(change(`UPDATE snapshots SET state_kind = 'adam'`)).toBe('DamagedCatalog')
  })

  test('is refused when a row is missing, or comes from another database', () => {
    const change = makeChange()
    for (const table of ['tables', 'versions', 'snapshots', 'seal'])
      expect(change(`DELETE FROM ${table}`)).toBe('DamagedCatalog')
    const columns =
      'table_id, version, file, start_sequence, end_sequence, step, created_at, bytes, sha256, state_kind, state_epoch, crc'
    expect(change(`INSERT INTO snapshots SELECT id + 1, ${columns} FROM snapshots`)).toBe('DamagedCatalog')
  })

  test('is refused when a record is duplicated or changed', () => {
    const change = makeChange()
    expect(change('INSERT INTO journal SELECT id + 1000, record FROM journal WHERE id = 3')).toBe(
      'DamagedRecord',
    )
    expect(change(`UPDATE journal SET record = x'00' WHERE id = 3`)).toBe('DamagedRecord')
    expect(change('UPDATE journal SET record = (SELECT record FROM journal WHERE id = 4) WHERE id = 3')).toBe(
      'DamagedRecord',
    )
  })

  test('is used up to a damaged record when recovery may go back, and later records stay discarded', () => {
    const { directory } = makeClosed()
    const database = new DatabaseSync(join(directory, 'catalog.db'))
    database.exec(`UPDATE journal SET record = x'00' WHERE id = 3`)
    database.close()
    const { store, report } = openStore(directory, { goBackBeforeDamage: true })
    expect(report.damagedRecords.map(({ refusal }) => refusal.code)).toEqual(['DamagedRecord'])
    expect(store.inspectJournal(1, 1).ranges[0]).toEqual({ first: 1, last: 2 })
    store.discardJournal(1, 1, 2)
    store.close()
    expect(readSequences(openSample(directory))).toEqual([1, 2])
  })

  test('has a gap when a record in the middle is missing', () => {
    const { directory } = makeClosed()
    const database = new DatabaseSync(join(directory, 'catalog.db'))
    database.exec('DELETE FROM journal WHERE id = 3')
    database.close()
    const store = openSample(directory)
    expect(refusalOf(() => readSequences(store))).toBe('JournalGap')
    expect(refusalOf(() => readSequences(store, 1, 1, 3))).toBe(null)
    expect(existsSync(store.paths.catalog)).toBe(true)
  })
})
