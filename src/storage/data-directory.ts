/**
 * The files of a data directory: their paths, their first creation, and the lock that keeps other processes
 * out.
 *
 *     lock          locked by the process that serves the directory
 *     catalog.db    tables, versions, aliases, list of snapshots; journal and keys of `disk` updates.
 *                   Each commit is synced.
 *     os.db         journal and keys of `os` updates, and of `none` while a snapshot runs. Its log is
 *                   synced once a second.
 *     *.mark        how much of the logs was synced; see synced-watermark.ts
 *     reserve       space for deletions on a full disk; see space-reserve.ts
 *     *.db-wal      SQLite's write-ahead logs
 *     snapshots/    safetensors files
 */
import { randomUUID } from 'node:crypto'
import { closeSync, constants, existsSync, openSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { syncDirectory } from '../system/disk.ts'
import { CATALOG_SCHEMA } from './catalog-rows.ts'
import {
  createDatabase,
  type DatabaseFormat,
  type OpenSqlite,
  plainFileExists,
  SQLITE_BUSY,
} from './database-file.ts'
import { classifyDiskError, refuseDiskError } from './disk-errors.ts'
import { failpoint } from './failpoints.ts'
import { JOURNAL_SCHEMA } from './journal.ts'
import { KEY_SCHEMA } from './key-memory.ts'
import { CATALOG_MIGRATIONS, OS_MIGRATIONS } from './migrations.ts'
import { refuseData } from './refusals.ts'
import { Superblock, SUPERBLOCK_SCHEMA, type SuperblockFacts } from './superblock.ts'
import { SyncedWatermark } from './synced-watermark.ts'

/** The paths of a data directory's files. */
export interface DataPaths {
  directory: string
  catalog: string
  os: string
  catalogMark: string
  osMark: string
  reserve: string
  snapshots: string
}

/** "GDca". Its format counts as that of the directory. */
export const CATALOG_FORMAT: DatabaseFormat = {
  applicationId: 0x47446361,
  schema: CATALOG_SCHEMA + JOURNAL_SCHEMA + KEY_SCHEMA + SUPERBLOCK_SCHEMA,
  migrations: CATALOG_MIGRATIONS,
  watermarkedSince: 3,
}
/** "GDos". */
export const OS_FORMAT: DatabaseFormat = {
  applicationId: 0x47446f73,
  schema: JOURNAL_SCHEMA + KEY_SCHEMA + SUPERBLOCK_SCHEMA,
  migrations: OS_MIGRATIONS,
  watermarkedSince: 2,
}

/** The paths within `dataDir`. */
export const dataPaths = (dataDir: string): DataPaths => {
  const directory = resolve(dataDir)
  return {
    directory,
    catalog: join(directory, 'catalog.db'),
    os: join(directory, 'os.db'),
    catalogMark: join(directory, 'catalog.mark'),
    osMark: join(directory, 'os.mark'),
    reserve: join(directory, 'reserve'),
    snapshots: join(directory, 'snapshots'),
  }
}

/**
 * Creates the catalog of an empty directory. Refuses MissingFile when the directory is not empty, because it
 * then had a catalog. A crash meanwhile leaves a file under another name, or an empty catalog without os.db,
 * which {@link createOs} completes.
 */
export const createCatalog = (paths: DataPaths, open: OpenSqlite): void => {
  const remains = [paths.os, `${paths.os}-wal`, `${paths.catalog}-wal`]
    .filter((path) => existsSync(path))
    .map((path) => basename(path))
  if (readdirSync(paths.snapshots).length > 0) remains.push('snapshots')
  if (remains.length > 0)
    refuseData('MissingFile', paths.catalog, `it is missing, but these exist: ${remains.join(', ')}`)
  createBeside(paths.catalog, paths.catalogMark, CATALOG_FORMAT, open, {
    directory: randomUUID(),
    nextId: 1,
    contents: '',
  })
}

/** Creates os.db beside a catalog that never had a table. Refuses MissingFile otherwise. */
export const createOs = (paths: DataPaths, catalog: SuperblockFacts, open: OpenSqlite): void => {
  if (catalog.nextId !== 1) refuseData('MissingFile', paths.os, 'it is missing, but there were tables')
  // SQLite would apply a leftover log to the new database.
  if (existsSync(`${paths.os}-wal`))
    refuseData('MissingFile', paths.os, 'it is missing, but its write-ahead log is there')
  createBeside(paths.os, paths.osMark, OS_FORMAT, open, {
    directory: catalog.directory,
    nextId: 1,
    contents: '',
  })
}

const createBeside = (
  path: string,
  watermark: string,
  format: DatabaseFormat,
  open: OpenSqlite,
  facts: SuperblockFacts,
): void => {
  const aside = `${path}.new`
  for (const suffix of ['', '-wal', '-journal']) rmSync(aside + suffix, { force: true })
  // The steps from format 1 to the present one write the contents.
  createDatabase(aside, format, open, (database) => new Superblock(aside, database).write(facts))
  const cleared = new SyncedWatermark(watermark)
  try {
    cleared.clear()
  } finally {
    cleared.close()
  }
  renameSync(aside, path)
  syncDirectory(dirname(path))
  failpoint('store:created')
}

/** Tells which of the databases exist. */
export const findDatabases = (paths: DataPaths): { catalog: boolean; os: boolean } => ({
  catalog: plainFileExists(paths.catalog),
  os: plainFileExists(paths.os),
})

/**
 * Locks a data directory for this process until it releases the lock or dies. The lock is taken before
 * anything in the directory is read, because a log that another process is writing looks damaged. Node has no
 * file locks, but SQLite does, so the lock is an empty database that is locked and never written. Refuses
 * InUse. Nothing else in the process may open the file, because closing it would drop the lock.
 */
export const lockDirectory = (dataDir: string, open: OpenSqlite): { release(): void } => {
  const path = join(dataDir, 'lock')
  if (!plainFileExists(path))
    closeSync(openSync(path, constants.O_CREAT | constants.O_WRONLY | constants.O_NOFOLLOW, 0o600))
  let database: DatabaseSync | null = null
  try {
    database = open(path)
    // The default mode would create a journal file beside it.
    database.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE')
  } catch (error) {
    database?.close()
    const { errcode, message } = error as { errcode?: number; message: string }
    if (errcode === SQLITE_BUSY) return refuseData('InUse', dataDir, 'it is in use by another gatherd', error)
    if (classifyDiskError(error) !== null) return refuseDiskError(path, error)
    return refuseData('UnsafeFile', path, `it cannot be locked (${message})`, error)
  }
  const locked = database
  return { release: () => locked.close() }
}
