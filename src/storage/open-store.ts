/** Opens a data directory: locks it, scans the logs, and checks everything but the snapshots. */
import { GatherdError } from '../core/errors.ts'
import { Catalog } from './catalog.ts'
import {
  CATALOG_FORMAT,
  createCatalog,
  createOs,
  type DataPaths,
  dataPaths,
  findDatabases,
  lockDirectory,
  OS_FORMAT,
} from './data-directory.ts'
import {
  type DatabaseFormat,
  openSqlite,
  type OpenSqlite,
  presentFormat,
  refuseDatabase,
} from './database-file.ts'
import { ErrorLatch } from './error-latch.ts'
import { classifyDiskError, refuseDiskError } from './disk-errors.ts'
import { failpoint } from './failpoints.ts'
import type { DamagedEntry } from './journal.ts'
import { refuseData, StoredDataRefusal, StoreFailed } from './refusals.ts'
import { SpaceReserve } from './space-reserve.ts'
import { Store } from './store.ts'
import { makeDirectory, refuseForeign } from './unusable-directory.ts'
import { openUpdateLog, type UpdateLog, type UpdateLogOptions } from './update-log.ts'
import type { LogScan } from './wal-scan.ts'

export interface OpenStoreOptions {
  /**
   * Whether to go back to a state before the damage of logs and journal instead of refusing; the report tells
   * which updates that loses.
   */
  goBackBeforeDamage?: boolean
  /** The folder of snapshots, when only the databases are a copy. */
  snapshots?: string
  /** Opens SQLite files; tests pass a function that fails. */
  open?: OpenSqlite
  keyCountMax?: number
}

/** The findings while a directory was opened, for the log and for people. */
export interface OpenReport {
  /** Whether the directory was empty before. */
  created: boolean
  catalogLog: LogScan
  osLog: LogScan
  /** The format that the directory had before; less than the present one if it was migrated. */
  formatBefore: number
  /** Records that could not be read and were dropped; none without `goBackBeforeDamage`. */
  damagedRecords: readonly DamagedEntry[]
  /** Why idempotency keys were dropped; none without `goBackBeforeDamage`. */
  damagedKeys: readonly StoredDataRefusal[]
  /** Whether the disk had no room for emptying the logs, which are whole all the same, or for the reserve. */
  isDiskFull: boolean
}

/** A read that fails while a database is opened is tried this often in all. */
const OPEN_TRIES = 3

/** Describes the irregularities of a report for people, a line for each. */
export const describeReport = (report: OpenReport): string[] => {
  const lines = [report.catalogLog, report.osLog]
    .filter(({ droppedFrameCount }) => droppedFrameCount > 0)
    .map(
      ({ droppedFrameCount }) =>
        `${droppedFrameCount} frames of an unfinished commit were dropped; nothing in it was acknowledged`,
    )
  const format = presentFormat(CATALOG_FORMAT)
  if (report.formatBefore < format)
    lines.push(`the data directory was brought from format ${report.formatBefore} to format ${format}`)
  const keys = report.damagedKeys.map(
    ({ file, detail }) => `${file}: ${detail}: it is dropped, and its request would be done again`,
  )
  return [...lines, ...report.damagedRecords.map(({ refusal }) => refusal.message), ...keys]
}

/**
 * Opens a data directory, or creates it, and checks all of catalog, logs, journal and keys; a snapshot is
 * checked when it is loaded. Refuses InUse, UnsafeFile, NotEmpty, MissingFile, UnknownFormat, DamagedLog,
 * DamagedCatalog, DamagedRecord, DamagedKey, and what the disk reports: DiskFull, ReadOnly, NotOpened,
 * Unreadable. A full disk alone is no reason to refuse. A refusal leaves the directory unlocked for the next
 * start.
 */
export const openStore = (
  dataDir: string,
  options: OpenStoreOptions = {},
): { store: Store; report: OpenReport } => {
  const open = options.open ?? openSqlite
  const inside = dataPaths(dataDir)
  const paths = { ...inside, snapshots: options.snapshots ?? inside.snapshots }
  const cleanup = new DisposableStack()
  try {
    makeDirectory(paths.directory)
    refuseForeign(paths)
    const lock = lockDirectory(paths.directory, open)
    cleanup.defer(() => lock.release())
    makeDirectory(paths.snapshots)
    const exists = findDatabases(paths)
    if (!exists.catalog) createCatalog(paths, open)
    const latch = new ErrorLatch()
    const allowLostCommits = options.goBackBeforeDamage ?? false
    const shared = { latch, open, keyCountMax: options.keyCountMax }
    const disk = openLog(paths.catalog, CATALOG_FORMAT, {
      ...shared,
      synchronous: 'FULL',
      watermark: paths.catalogMark,
      logRules: { everyCommitSynced: true, allowLostCommits },
    })
    cleanup.defer(() => disk.close())
    if (!exists.os) createOs(paths, disk.superblock.read(), open)
    const os = openLog(paths.os, OS_FORMAT, {
      ...shared,
      synchronous: 'NORMAL',
      watermark: paths.osMark,
      logRules: { everyCommitSynced: false, allowLostCommits },
    })
    cleanup.defer(() => os.close())
    if (os.superblock.read().directory !== disk.superblock.read().directory)
      refuseData('DamagedCatalog', paths.os, 'it belongs to another data directory')
    const damagedRecords = [...disk.journal.damaged, ...os.journal.damaged]
    const damagedKeys = [...disk.keys.damaged, ...os.keys.damaged].map(({ refusal }) => refusal)
    const [damage] = [...damagedRecords.map(({ refusal }) => refusal), ...damagedKeys]
    if (damage !== undefined && !allowLostCommits) throw damage
    const reserve = new SpaceReserve(paths.reserve)
    cleanup.defer(() => reserve.close())
    const store = checkCatalog(paths, () => {
      const catalog = new Catalog(paths.catalog, disk.database)
      const store = new Store({ paths, catalog, disk, os, reserve, latch, closeAll: () => cleanup.dispose() })
      store.load()
      return store
    })
    for (const log of [disk, os]) log.dropDamaged()
    const emptied = [disk, os].map(emptyLog)
    const isDiskFull = emptied.includes(false) || !reserve.fill()
    failpoint('store:opened')
    return {
      store,
      report: {
        created: !exists.catalog,
        catalogLog: disk.scan,
        osLog: os.scan,
        formatBefore: disk.formatBefore,
        damagedRecords,
        damagedKeys,
        isDiskFull,
      },
    }
  } catch (error) {
    cleanup.dispose()
    return refuseStart(paths.directory, error)
  }
}

/** Opens a database and its log. A read that the disk fails is no damage, so all of it is tried again. */
const openLog = (path: string, format: DatabaseFormat, options: UpdateLogOptions): UpdateLog => {
  for (let tries = 1; ; tries++) {
    try {
      return openUpdateLog(path, format, options)
    } catch (error) {
      const isUnread = error instanceof StoredDataRefusal && error.code === 'Unreadable'
      if (!isUnread || tries === OPEN_TRIES) throw error
    }
  }
}

/**
 * Refuses a start for what happened to a file of `directory`: a full disk, a write that failed, another error
 * of the system. Other errors are thrown unchanged.
 */
export const refuseStart = (directory: string, error: unknown): never => {
  const isOfDisk =
    error instanceof StoreFailed ||
    (error instanceof GatherdError && (error.code === 'DISK_FULL' || error.code === 'NOT_READY'))
  const reason = isOfDisk && error.cause !== undefined ? error.cause : error
  if (classifyDiskError(reason) !== null) return refuseDiskError(directory, reason)
  const { code, syscall } = reason as NodeJS.ErrnoException
  if (code === undefined || syscall === undefined) throw error
  return refuseData('UnsafeFile', directory, `the data directory cannot be used (${code}, ${syscall})`, error)
}

const checkCatalog = (paths: DataPaths, check: () => Store): Store => {
  try {
    return check()
  } catch (error) {
    return refuseDatabase(paths.catalog, error)
  }
}

/**
 * Empties the log, and returns whether it could: on a full disk the log stays as it is, which costs the next
 * start some time.
 */
const emptyLog = (log: UpdateLog): boolean => {
  try {
    log.database.emptyLog()
    return true
  } catch (error) {
    if (error instanceof GatherdError && error.code === 'DISK_FULL') return false
    throw error
  }
}
