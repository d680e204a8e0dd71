/** Files that SQLite opens: their creation, and the checks before they are used. */
import { closeSync, constants, lstatSync, openSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { readFullySync } from '../system/reads.ts'
import { classifyDiskError, refuseDiskError } from './disk-errors.ts'
import type { Migration } from './migrations.ts'
import { refuseData } from './refusals.ts'

/** Opens a file with SQLite; tests pass one that fails. */
export type OpenSqlite = (path: string) => DatabaseSync

/**
 * Opens a file without waiting for a lock, because only another server can have it, and that one will not
 * release it soon.
 */
export const openSqlite: OpenSqlite = (path) => new DatabaseSync(path, { timeout: 0 })

export interface DatabaseFormat {
  /** SQLite's `application_id`, which tells the databases of a directory apart. */
  applicationId: number
  /** The tables of format 1. */
  schema: string
  /** The steps from format 1 to the present one, in order. */
  migrations: readonly Migration[]
  /** The first format in which a start leaves a synced watermark beside the log. */
  watermarkedSince: number
}

/** The format that this release writes: each migration leads to the next number. */
export const presentFormat = ({ migrations }: Pick<DatabaseFormat, 'migrations'>): number =>
  1 + migrations.length

/** SQLite's code for a file that another process has locked. */
export const SQLITE_BUSY = 5
/**
 * A transaction stays in memory until its commit (cache_spill), so that a rolled back one leaves nothing in
 * the log.
 */
const PRAGMAS = `
  PRAGMA locking_mode = EXCLUSIVE;
  PRAGMA journal_mode = WAL;
  PRAGMA wal_autocheckpoint = 0;
  PRAGMA journal_size_limit = ${64 * 1024 * 1024};
  PRAGMA cache_size = -16384;
  PRAGMA cache_spill = OFF;
  PRAGMA temp_store = MEMORY;
`

/**
 * Writes an empty database of this format to `path`, with mode 0600; it is on disk and closed when this
 * returns. SQLite would take an empty file for a new database, so the caller renames the file to its final
 * name afterwards.
 */
export const createDatabase = (
  path: string,
  format: DatabaseFormat,
  open: OpenSqlite,
  fill: (database: DatabaseSync) => void,
): void => {
  closeSync(
    openSync(path, constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY | constants.O_NOFOLLOW, 0o600),
  )
  const database = open(path)
  try {
    database.exec(PRAGMAS)
    database.exec(`PRAGMA application_id = ${format.applicationId}`)
    database.exec(`PRAGMA user_version = 1; ${format.schema}`)
    fill(database)
    migrate(database, path, format)
  } finally {
    database.close()
  }
}

/** Whether a plain file exists at `path`. Refuses UnsafeFile if something else does. */
export const plainFileExists = (path: string): boolean => {
  const status = lstatSync(path, { throwIfNoEntry: false })
  if (status !== undefined && !status.isFile()) refuseData('UnsafeFile', path, 'it is not a plain file')
  return status !== undefined
}

/**
 * Opens an existing database for this process alone; the caller has scanned its log. Refuses InUse,
 * UnknownFormat, and DamagedCatalog if SQLite's own check fails. FULL syncs the log with each commit, NORMAL
 * only before a checkpoint. After a refusal the caller closes what `open` has returned.
 */
export const openDatabase = (
  path: string,
  format: DatabaseFormat,
  synchronous: 'FULL' | 'NORMAL',
  open: OpenSqlite,
): DatabaseSync => {
  try {
    const database = open(path)
    database.exec(`${PRAGMAS} PRAGMA synchronous = ${synchronous};`)
    checkMode(database, path)
    checkFormat(database, path, format)
    checkIntegrity(database, path)
    return database
  } catch (error) {
    return refuseDatabase(path, error)
  }
}

/**
 * Checks the modes of the database. SQLite reports no error for a mode that the file system does not allow;
 * it only tells the mode that it is in.
 */
const checkMode = (database: DatabaseSync, path: string): void => {
  const { journal_mode: mode } = database.prepare('PRAGMA journal_mode').get() as { journal_mode: string }
  const { locking_mode: locking } = database.prepare('PRAGMA locking_mode').get() as { locking_mode: string }
  if (mode !== 'wal' || locking !== 'exclusive')
    refuseData('UnsafeFile', path, `SQLite keeps no write-ahead log there (${mode}, ${locking})`)
}

/** SQLite's `user_version` in the header of the file. */
const FORMAT_AT = 60

/**
 * Whether a database that is not open has a format in which its log has a watermark. A header that cannot be
 * trusted says no; SQLite judges it later.
 */
export const isWatermarked = (path: string, { watermarkedSince, migrations }: DatabaseFormat): boolean => {
  const descriptor = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW)
  try {
    const bytes = Buffer.alloc(4)
    const format = readFullySync(descriptor, bytes, FORMAT_AT) === 4 ? bytes.readUInt32BE(0) : 0
    return format >= watermarkedSince && format <= presentFormat({ migrations })
  } finally {
    closeSync(descriptor)
  }
}

const checkFormat = (database: DatabaseSync, path: string, format: DatabaseFormat): void => {
  const { application_id: applicationId } = database.prepare('PRAGMA application_id').get() as {
    application_id: number
  }
  const { user_version: version } = database.prepare('PRAGMA user_version').get() as { user_version: number }
  if (applicationId !== format.applicationId)
    refuseData('DamagedCatalog', path, 'it is not the database that belongs there')
  if (version < 1 || version > presentFormat(format)) {
    refuseData(
      'UnknownFormat',
      path,
      `it has format ${version}, this release reads formats up to ${presentFormat(format)}`,
    )
  }
}

/**
 * Brings a database to the present format by all missing steps, in one transaction. Returns the format that
 * it had. Refuses DamagedCatalog, and leaves the transaction to the caller, who closes the database.
 */
export const migrate = (database: DatabaseSync, path: string, { migrations }: DatabaseFormat): number => {
  const { user_version: version } = database.prepare('PRAGMA user_version').get() as { user_version: number }
  const missing = migrations.slice(version - 1)
  if (missing.length === 0) return version
  database.exec('BEGIN')
  for (const step of missing) step(database, path)
  database.exec(`PRAGMA user_version = ${presentFormat({ migrations })}`)
  database.exec('COMMIT')
  return version
}

const checkIntegrity = (database: DatabaseSync, path: string): void => {
  const [first] = database.prepare('PRAGMA quick_check(1)').all() as { quick_check: string }[]
  if (first?.quick_check !== 'ok')
    refuseData('DamagedCatalog', path, `SQLite finds it damaged (${firstLine(first?.quick_check ?? '')})`)
}

/**
 * Throws the refusal for an error of SQLite while it opens or reads `path`. Other errors are thrown
 * unchanged.
 */
export const refuseDatabase = (path: string, error: unknown): never => {
  const { code, errcode, message } = error as { code?: string; errcode?: number; message: string }
  if (errcode === SQLITE_BUSY)
    return refuseData('InUse', dirname(path), 'it is in use by another gatherd', error)
  // gatherd writes no number beyond 2^53, so one in the file is damage.
  if (errcode === undefined && code !== 'ERR_OUT_OF_RANGE') return refuseDiskError(path, error)
  if (classifyDiskError(error) !== null) return refuseDiskError(path, error)
  return refuseData('DamagedCatalog', path, `SQLite cannot read it (${firstLine(message)})`, error)
}

const firstLine = (text: string): string => text.split('\n')[0]
