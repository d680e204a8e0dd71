import { copyFileSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, test } from 'vitest'
import { CATALOG_FORMAT, OS_FORMAT } from '../../src/storage/data-directory.ts'
import { presentFormat } from '../../src/storage/database-file.ts'
import { openStore } from '../../src/storage/open-store.ts'
import { errorOf, makeFolder, openSample, refusalOf, sampleTable, sampleVersion } from './samples.ts'

/** Copies the databases that the first code of format 1 wrote. */
const copyFormat1 = (): string => {
  const directory = makeFolder()
  mkdirSync(join(directory, 'snapshots'))
  for (const name of ['catalog.db', 'os.db'])
    copyFileSync(new URL(`fixtures/directory-1/${name}`, import.meta.url), join(directory, name))
  return directory
}

const inCatalog = <Result>(directory: string, work: (database: DatabaseSync) => Result): Result => {
  const database = new DatabaseSync(join(directory, 'catalog.db'))
  try {
    return work(database)
  } finally {
    database.close()
  }
}

const readFormat = (directory: string): unknown =>
  inCatalog(directory, (database) => database.prepare('PRAGMA user_version').get()?.user_version)

/** The schema as SQLite compares it: `ALTER TABLE` sets its own spaces. */
const readSchema = (directory: string): unknown[] =>
  inCatalog(directory, (database) =>
    database.prepare('SELECT name, sql FROM sqlite_schema ORDER BY name').all(),
  )

/** Opens SQLite files whose transactions of migrations end before their commit. */
const openWithoutCommit = (path: string): DatabaseSync => {
  const database = new DatabaseSync(path, { timeout: 0 })
  const exec = database.exec.bind(database)
  database.exec = (sql) => {
    if (sql === 'COMMIT') throw new Error('the process ended here')
    exec(sql)
  }
  return database
}

describe('A directory of format 1', () => {
  test('is brought to the present format once, with everything it had', () => {
    const directory = copyFormat1()
    const first = openStore(directory)
    expect(first.report.formatBefore).toBe(1)
    expect(first.store.load()).toMatchObject({
      tables: [sampleTable()],
      versions: [{ rows: 100 }],
      nextId: 3,
    })
    first.store.close()
    expect(readFormat(directory)).toBe(presentFormat(CATALOG_FORMAT))
    const second = openStore(directory)
    expect(second.report.formatBefore).toBe(presentFormat(CATALOG_FORMAT))
    second.store.close()
  })

  test('has the schema of a new directory afterwards', () => {
    const [old, fresh] = [copyFormat1(), makeFolder()]
    for (const directory of [old, fresh]) openSample(directory).close()
    expect(readSchema(old)).toEqual(readSchema(fresh))
  })

  test('goes on above every sequence and version that may have been used', () => {
    const image = openSample(copyFormat1()).load()
    expect(image.versions).toEqual([sampleVersion({ reserved: 2 ** 32 })])
    expect(image.names).toEqual([{ id: 0, name: '', highest: 2 }])
  })

  test('stays as it was when the process ends before the commit, and the next start begins again', () => {
    const directory = copyFormat1()
    expect(() => openStore(directory, { open: openWithoutCommit })).toThrow('the process ended here')
    expect(readFormat(directory)).toBe(1)
    expect(openSample(directory).load().versions).toHaveLength(1)
  })

  test.each([
    ['a changed value', "UPDATE tables SET name = 'other'"],
    ['a lost row', 'DELETE FROM aliases'],
  ])('is refused with %s, and keeps its format', (_what, sql) => {
    const directory = copyFormat1()
    inCatalog(directory, (database) => database.exec(sql))
    expect(refusalOf(() => openSample(directory))).toBe('DamagedCatalog')
    expect(readFormat(directory)).toBe(1)
  })
})

describe('A directory of a later format', () => {
  test.each(['catalog.db', 'os.db'])('is refused by one line that says so (%s)', (name) => {
    const directory = makeFolder()
    openSample(directory).close()
    const present = presentFormat(name === 'os.db' ? OS_FORMAT : CATALOG_FORMAT)
    const database = new DatabaseSync(join(directory, name))
    database.exec(`PRAGMA user_version = ${present + 1}`)
    database.close()
    expect((errorOf(() => openSample(directory)) as Error).message).toBe(
      `${directory}/${name}: it has format ${present + 1}, this release reads formats up to ${present}; ` +
        'use the release of gatherd that wrote it, or a later one',
    )
  })
})
