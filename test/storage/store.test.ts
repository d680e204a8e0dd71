import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, test } from 'vitest'
import { openStore } from '../../src/storage/open-store.ts'
import { StoredDataRefusal } from '../../src/storage/refusals.ts'
import * as samples from './samples.ts'

const {
  makeFolder,
  openSample,
  readSequences,
  refusalOf,
  sampleChanges,
  sampleKey,
  sampleRecord,
  sampleSnapshot,
  sampleTable,
  sampleVersion,
} = samples

describe('A new data directory', () => {
  test('is created with its parents, and only its owner may read it', () => {
    const directory = join(makeFolder(), 'a', 'data')
    const store = openSample(directory)
    expect(store.load()).toEqual({
      tables: [],
      versions: [],
      aliases: [],
      snapshots: [],
      adapters: [],
      names: [],
      skips: [],
      nextId: 1,
    })
    const modes = [directory, ...readdirSync(directory).map((name) => join(directory, name))].map(
      (path) => statSync(path).mode & 0o077,
    )
    expect(modes.length).toBeGreaterThan(5)
    expect(modes.every((mode) => mode === 0)).toBe(true)
  })

  test('is reported as new once', () => {
    const directory = makeFolder()
    const first = openStore(directory)
    first.store.close()
    const second = openStore(directory)
    second.store.close()
    expect([first.report.created, second.report.created]).toEqual([true, false])
  })

  test('is completed by the next start when the first one was interrupted', () => {
    const directory = makeFolder()
    openSample(directory).close()
    for (const name of ['os.db', 'os.mark']) rmSync(join(directory, name))
    writeFileSync(join(directory, 'os.db.new'), 'half')
    expect(openSample(directory).load().nextId).toBe(1)
    expect(existsSync(join(directory, 'os.db.new'))).toBe(false)
  })
})

describe('The catalog', () => {
  test('reads back as it was committed', () => {
    const directory = makeFolder()
    const store = openSample(directory)
    const [table, versionRow] = [sampleTable({ id: store.takeId() }), sampleVersion()]
    const snapshot = sampleSnapshot({
      id: store.takeId(),
      stateKind: 'adam',
      step: 12,
      startSequence: 2 ** 40,
      endSequence: 2 ** 40 + 1,
    })
    const aliases = [
      { alias: 'a', table: 'user', version: null },
      { alias: 'b', table: 'user', version: 1 },
    ]
    store.commit({
      changes: [
        { kind: 'put-table', table },
        { kind: 'put-version', versionRow },
        { kind: 'put-snapshot', snapshot },
        ...aliases.map((alias) => ({ kind: 'put-alias' as const, alias })),
      ],
    })
    const expected = {
      tables: [table],
      versions: [versionRow],
      aliases,
      snapshots: [snapshot],
      adapters: [],
      names: [],
      skips: [],
      nextId: 3,
    }
    expect(store.load()).toEqual(expected)
    store.close()
    expect(openSample(directory).load()).toEqual(expected)
  })

  test('updates and deletes entries: a deleted table takes its versions and listed snapshots with it', () => {
    const store = openSample(makeFolder())
    store.commit({ changes: sampleChanges() })
    store.commit({
      changes: [
        { kind: 'put-table', table: sampleTable({ highest: 2, current: 2 }) },
        { kind: 'put-version', versionRow: sampleVersion({ version: 2 }) },
      ],
    })
    store.commit({
      changes: [1, 2].map((id) => ({ kind: 'put-snapshot', snapshot: sampleSnapshot({ id, version: id }) })),
    })
    store.commit({ changes: [{ kind: 'delete-version', tableId: 1, version: 1 }] })
    expect(store.load()).toMatchObject({
      tables: [{ current: 2 }],
      versions: [{ version: 2 }],
      snapshots: [{ id: 2 }],
    })
    store.commit({
      changes: [
        { kind: 'put-alias', alias: { alias: 'a', table: 'user', version: null } },
        { kind: 'delete-snapshot', snapshotId: 2 },
      ],
    })
    expect(store.load().snapshots).toEqual([])
    store.commit({
      changes: [
        { kind: 'delete-table', tableId: 1 },
        { kind: 'delete-alias', alias: 'a' },
      ],
    })
    expect(store.load()).toMatchObject({ tables: [], versions: [], aliases: [], snapshots: [] })
  })

  test('never gives two tables the same number, even when the first one is deleted', () => {
    const directory = makeFolder()
    const store = openSample(directory)
    const id = store.takeId()
    store.commit({ changes: [{ kind: 'put-table', table: sampleTable({ id }) }] })
    store.commit({ changes: [{ kind: 'delete-table', tableId: id }] })
    store.close()
    expect(openSample(directory).takeId()).toBe(id + 1)
  })
})

describe('Updates', () => {
  test('of a batch are committed together with their keys, and read back in order', () => {
    const directory = makeFolder()
    const store = openSample(directory)
    const records = [1, 2, 3].map((sequence) => sampleRecord(sequence))
    store.commit({ changes: sampleChanges(), records, keys: [sampleKey('a'), sampleKey('b')] })
    store.close()
    const again = openSample(directory)
    expect([...again.readJournal(1, 1, 0)]).toEqual(records)
    expect(readSequences(again, 1, 1, 1)).toEqual([2, 3])
    expect(again.findKey(sampleKey('b').hash)).toEqual(sampleKey('b'))
    expect(again.findKey(sampleKey('c').hash)).toBe(null)
  })

  test('of a batch are either all stored or none', () => {
    const sqlite = new samples.FaultySqlite()
    const directory = makeFolder()
    const store = openSample(directory, { open: sqlite.open })
    store.commit({ records: [sampleRecord(1)] })
    sqlite.fault = { sql: 'INSERT INTO keys', errcode: 13 }
    expect(() =>
      store.commit({
        records: [sampleRecord(2), sampleRecord(3)],
        keys: [sampleKey('a')],
        changes: sampleChanges(),
      }),
    ).toThrow()
    sqlite.fault = null
    expect(readSequences(store)).toEqual([1])
    expect(store.load().tables).toEqual([])
    expect(store.findKey(sampleKey('a').hash)).toBe(null)
    store.close()
    expect(readSequences(openSample(directory))).toEqual([1])
  })

  test('of a version whose mode changed are stored in two files and read as one journal', () => {
    const directory = makeFolder()
    const store = openSample(directory)
    store.commit({ changes: sampleChanges(), records: [sampleRecord(1), sampleRecord(2)] })
    store.commitOs({
      records: [3, 4].map((sequence) => sampleRecord(sequence, { durability: 'os' })),
      keys: [sampleKey('os')],
    })
    store.commit({ records: [sampleRecord(5)] })
    store.close()
    const again = openSample(directory)
    expect(readSequences(again)).toEqual([1, 2, 3, 4, 5])
    expect(again.inspectJournal(1, 1)).toEqual({ ranges: [{ first: 1, last: 5 }], promised: 5 })
    expect(again.findKey(sampleKey('os').hash)?.result).toBe(sampleKey('os').result)
  })

  test('must have consecutive sequences: others fail an assertion and leave the store usable and unchanged', () => {
    const store = openSample(makeFolder())
    store.commit({ records: [sampleRecord(1)] })
    expect(() => store.commit({ records: [sampleRecord(1)] })).toThrow('in order')
    expect(() => store.commit({ records: [sampleRecord(3), sampleRecord(2)] })).toThrow('in order')
    expect(store.failure).toBe(null)
    store.commit({ records: [sampleRecord(2)] })
    expect(readSequences(store)).toEqual([1, 2])
  })

  test('of mode os are synced on demand, and before the catalog refers to them', async () => {
    const store = openSample(makeFolder())
    const mark = (): Buffer => samples.readBytes(store.paths.osMark)
    const before = mark()
    store.commitOs({ records: [sampleRecord(1, { durability: 'os' })] })
    expect(mark()).toEqual(before)
    store.commit({ changes: sampleChanges() })
    const first = mark()
    expect(first).not.toEqual(before)
    store.commitOs({ records: [sampleRecord(2, { durability: 'os' })] })
    await store.syncOsInBackground()
    expect(mark()).not.toEqual(first)
  })
})

describe('A checkpoint', () => {
  test('moves the logs into the databases, and the size of the logs counts from zero again', () => {
    const directory = makeFolder()
    const store = openSample(directory)
    store.commit({ records: [sampleRecord(1)] })
    store.commitOs({ records: [sampleRecord(2, { durability: 'os' })] })
    const bytes = store.logBytes()
    expect(bytes).toBeGreaterThan(8192)
    store.checkpoint()
    expect(store.logBytes()).toBe(0)
    store.commit({ records: [sampleRecord(3)] })
    expect(store.logBytes()).toBeLessThan(bytes)
    store.close()
    expect(readSequences(openSample(directory))).toEqual([1, 2, 3])
  })

  test.each(['asked for', 'after a full disk'])(
    'begins another log, of which nothing is synced yet: %s',
    (reason) => {
      const sqlite = new samples.FaultySqlite()
      const store = openSample(makeFolder(), { open: sqlite.open })
      for (let sequence = 1; sequence <= 20; sequence++)
        store.commitOs({ records: [sampleRecord(sequence, { durability: 'os' })] })
      store.syncOs()
      if (reason === 'asked for') store.checkpoint()
      else {
        sqlite.fault = { sql: 'COMMIT', errcode: 13 }
        samples.errorOf(() => store.commitOs({ records: [sampleRecord(21, { durability: 'os' })] }))
        sqlite.fault = null
      }
      store.syncOs()
      const before = samples.readBytes(store.paths.osMark)
      store.commitOs({ records: [sampleRecord(21, { durability: 'os' })] })
      store.syncOs()
      expect(samples.readBytes(store.paths.osMark)).not.toEqual(before)
    },
  )
})

describe('A data directory in use', () => {
  test('is refused to a second store of the same process, which leaves the first intact', () => {
    const directory = makeFolder()
    const store = openSample(directory)
    store.commit({ records: [sampleRecord(1)] })
    expect(refusalOf(() => openStore(directory))).toBe('InUse')
    store.commit({ records: [sampleRecord(2)] })
    store.close()
    expect(readSequences(openSample(directory))).toEqual([1, 2])
  })

  test('is refused to a second process with exit code 1, even after a second store in the first was refused', () => {
    const directory = makeFolder()
    const store = openSample(directory)
    expect(refusalOf(() => openStore(directory))).toBe('InUse')
    const module = new URL('../../src/storage/open-store.ts', import.meta.url)
    const child = spawnSync(
      process.execPath,
      [
        '-e',
        `import(${JSON.stringify(module.href)}).then(({ openStore }) => openStore(${JSON.stringify(directory)})).catch((error) => { console.log(error.code, error.message); process.exit(error.exitCode) })`,
      ],
      { encoding: 'utf8' },
    )
    expect(child.stdout).toContain(`InUse ${directory}: it is in use by another gatherd`)
    expect(child.status).toBe(1)
    store.commit({ records: [sampleRecord(1)] })
  })
})

describe('A data directory with wrong files', () => {
  const prepare = (): string => {
    const directory = makeFolder()
    const store = openSample(directory)
    store.commit({ changes: [{ kind: 'put-table', table: sampleTable({ id: store.takeId() }) }] })
    store.close()
    return directory
  }
  const open = (directory: string) => refusalOf(() => openSample(directory))

  test('is refused without its catalog, unless it is empty', () => {
    const directory = prepare()
    rmSync(join(directory, 'catalog.db'))
    expect(open(directory)).toBe('MissingFile')
    for (const name of ['os.db', 'os.mark']) rmSync(join(directory, name))
    writeFileSync(join(directory, 'snapshots', 'a.safetensors'), '')
    expect(open(directory)).toBe('MissingFile')
    rmSync(join(directory, 'snapshots', 'a.safetensors'))
    writeFileSync(join(directory, 'catalog.db-wal'), '')
    expect(open(directory)).toBe('MissingFile')
    rmSync(join(directory, 'catalog.db-wal'))
    expect(open(directory)).toBe(null)
  })

  test('is refused without os.db', () => {
    const directory = prepare()
    rmSync(join(directory, 'os.db'))
    expect(open(directory)).toBe('MissingFile')
  })

  test('is refused with a database of another directory, or with the two databases exchanged', () => {
    const [directory, other] = [prepare(), prepare()]
    renameSync(join(other, 'os.db'), join(directory, 'os.db'))
    expect(open(directory)).toBe('DamagedCatalog')
    const third = prepare()
    renameSync(join(third, 'os.db'), join(third, 'catalog.db'))
    writeFileSync(join(third, 'os.db'), '')
    expect(open(third)).toBe('DamagedCatalog')
  })

  test('is refused when its format is a later one', () => {
    const directory = prepare()
    const database = new DatabaseSync(join(directory, 'catalog.db'))
    database.exec('PRAGMA user_version = 99')
    database.close()
    expect(open(directory)).toBe('UnknownFormat')
  })

  test('is refused when a file is a link, a directory, or not a database of gatherd', () => {
    const directory = prepare()
    renameSync(join(directory, 'os.db'), join(directory, 'elsewhere'))
    symlinkSync(join(directory, 'elsewhere'), join(directory, 'os.db'))
    expect(open(directory)).toBe('UnsafeFile')
    rmSync(join(directory, 'os.db'))
    mkdirSync(join(directory, 'os.db'))
    expect(open(directory)).toBe('UnsafeFile')
    writeFileSync(join(directory, 'plain'), '')
    expect(open(join(directory, 'plain'))).toBe('UnsafeFile')
    chmodSync(directory, 0o700)
  })

  test('is refused with one line that names it and says what to do', () => {
    const directory = prepare()
    rmSync(join(directory, 'os.db'))
    const error = samples.errorOf(() => openStore(directory))
    expect(error).toBeInstanceOf(StoredDataRefusal)
    expect((error as StoredDataRefusal).exitCode).toBe(3)
    expect((error as Error).message).toBe(
      `${directory}/os.db: it is missing, but there were tables; put the file back from a backup of the whole directory`,
    )
  })
})
