/**
 * The formats of a data directory, and the steps from each to the next. A database holds its format as
 * SQLite's `user_version`, and a start takes every step that is missing, all in one transaction: a crash
 * leaves the old format or the new one. A new database is made in format 1 and takes the same steps, so old
 * and new directories have equal schemas.
 *
 * To change the format, add a step at the end of the list of its database; the steps before it never change,
 * because directories of every earlier release take them. A step that adds a column to a table of the catalog
 * calls {@link addColumn}, one that adds a table lists it in its own {@link writeContents}.
 */
import type { DatabaseSync } from 'node:sqlite'
import { rowCrc, type StoredValue } from './catalog-rows.ts'
import { refuseData } from './refusals.ts'
import { Superblock } from './superblock.ts'

/** One step from a format to the next. It runs inside a transaction of the caller. */
export type Migration = (database: DatabaseSync, path: string) => void

/**
 * Sequences of updates that a crash took back are not known in format 1. No directory lost as many as this,
 * since the updates of half a day at 100,000 a second are fewer.
 */
const SEQUENCES_LOST_MAX = 2 ** 32

const FORMAT_1_TABLES = ['tables', 'versions', 'aliases', 'snapshots', 'adapters']

/**
 * Format 2: tables have a revision, versions a reserve of sequences, and the catalog keeps the highest
 * versions of deleted tables and the sequences that were taken back. In format 1 each version took a number
 * for its snapshot, so no version of a deleted table was higher than those numbers.
 */
const keepNumbers: Migration = (database, path) => {
  checkContents(database, path, FORMAT_1_TABLES)
  addColumn(database, path, {
    table: 'tables',
    keys: ['id'],
    columns: 'id name created_at changed_at settings highest current state_epoch'.split(' '),
    added: 'revision',
    values: '0',
  })
  addColumn(database, path, {
    table: 'versions',
    keys: ['table_id', 'version'],
    columns: 'table_id version rows dim dtype created_at'.split(' '),
    added: 'reserved',
    values: `${SEQUENCES_LOST_MAX} + coalesce((SELECT max(end_sequence) FROM snapshots
      WHERE snapshots.table_id = versions.table_id AND snapshots.version = versions.version), 0)`,
  })
  database.exec(`
    CREATE TABLE names (id INTEGER PRIMARY KEY, name TEXT NOT NULL, highest INTEGER NOT NULL,
      crc INTEGER NOT NULL) STRICT;
    CREATE TABLE skips (table_id INTEGER NOT NULL, version INTEGER NOT NULL, first INTEGER NOT NULL,
      last INTEGER NOT NULL, created_at REAL NOT NULL, crc INTEGER NOT NULL,
      PRIMARY KEY (table_id, version, first)) STRICT, WITHOUT ROWID;
  `)
  const { nextId } = new Superblock(path, database).read()
  if (nextId > 1) {
    const values = [0, '', nextId - 1]
    database
      .prepare('INSERT INTO names (id, name, highest, crc) VALUES (?, ?, ?, ?)')
      .run(...values, rowCrc('names', values))
  }
  writeContents(database, path, [...FORMAT_1_TABLES, 'names', 'skips'])
}

/**
 * Format 3, of os.db 2: beside each log lies its synced watermark, which a clean stop clears. The databases
 * hold the same as before.
 */
const keepWatermarks: Migration = () => {}

/** The steps of catalog.db: the first leads from format 1 to format 2. */
export const CATALOG_MIGRATIONS: readonly Migration[] = [keepNumbers, keepWatermarks]

/** The steps of os.db, which has a format of its own. */
export const OS_MIGRATIONS: readonly Migration[] = [keepWatermarks]

/** A column that a step adds to a table of the catalog. */
interface AddedColumn {
  table: string
  /** The primary key. */
  keys: readonly string[]
  /** The columns before, in the order in which checksums cover them; the new one follows. */
  columns: readonly string[]
  added: string
  /** The integer that each row gets, as an SQL expression. */
  values: string
}

/**
 * Adds an integer column, and gives each row a new checksum. Refuses DamagedCatalog for a row whose checksum
 * is wrong, because a new one would hide the damage.
 */
const addColumn = (
  database: DatabaseSync,
  path: string,
  { table, keys, columns, added, values }: AddedColumn,
): void => {
  const read = (names: readonly string[]): Record<string, StoredValue>[] =>
    database.prepare(`SELECT ${names.join(', ')} FROM ${table}`).all() as Record<string, StoredValue>[]
  for (const { crc, ...row } of read([...columns, 'crc'])) {
    if (rowCrc(table, Object.values(row)) !== crc)
      refuseData('DamagedCatalog', path, `a row of ${table} has a wrong checksum`)
  }
  database.exec(`ALTER TABLE ${table} ADD COLUMN ${added} INTEGER NOT NULL DEFAULT 0`)
  database.exec(`UPDATE ${table} SET ${added} = ${values}`)
  const writeCrc = database.prepare(
    `UPDATE ${table} SET crc = ? WHERE ${keys.map((key) => `${key} = ?`).join(' AND ')}`,
  )
  for (const row of read([...columns, added]))
    writeCrc.run(rowCrc(table, Object.values(row)), ...keys.map((key) => row[key]))
}

const summarize = (database: DatabaseSync, tables: readonly string[]): string =>
  tables
    .map((table) => {
      const total = database
        .prepare(`SELECT count(*) AS rowCount, coalesce(sum(crc), 0) AS crcSum FROM ${table}`)
        .get() as { rowCount: number; crcSum: number }
      return `${table} ${total.rowCount}:${total.crcSum}`
    })
    .join(' ')

/** Refuses DamagedCatalog when rows are missing before the first change. */
const checkContents = (database: DatabaseSync, path: string, tables: readonly string[]): void => {
  const { contents } = new Superblock(path, database).read()
  // A database that is being made has no contents yet.
  if (contents !== '' && contents !== summarize(database, tables))
    refuseData('DamagedCatalog', path, 'rows are missing, or there are more')
}

/** Writes the sums over `tables`, the keys of `CATALOG_COLUMNS` in the new format, to the superblock. */
const writeContents = (database: DatabaseSync, path: string, tables: readonly string[]): void => {
  const superblock = new Superblock(path, database)
  superblock.write({ ...superblock.read(), contents: summarize(database, tables) })
}
