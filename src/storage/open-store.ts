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
  makeDirectory,
  OS_FORMAT,
} from './data-directory.ts'
import { openSqlite, type OpenSqlite, refuseDatabase } from './database-file.ts'
import { ErrorLatch } from './error-latch.ts'
import { failpoint } from './failpoints.ts'
import type { DamagedEntry } from './journal.ts'
import { refuseData } from './refusals.ts'
import { Store } from './store.ts'
import { readSyncedWatermark, SyncedWatermark } from './synced-watermark.ts'
import { openUpdateLog, type UpdateLog } from './update-log.ts'
import type { LogScan } from './wal-scan.ts'

export interface OpenStoreOptions {
  /** Goes back to before damage of logs and journal instead of refusing; the report says what that loses. */
  goBackBeforeDamage?: boolean
  /** Tests pass one that fails. */
  open?: OpenSqlite
  keyCountMax?: number
}

/** The findings of an opening, for the log and for people. */
export interface OpenReport {
  /** The directory held nothing before. */
  created: boolean
  catalogLog: LogScan
  osLog: LogScan
  /** Records that could not be read and were dropped; none without `goBackBeforeDamage`. */
  damagedRecords: readonly DamagedEntry[]
}

/**
 * Opens a data directory, or creates it, and checks all of catalog, logs, journal and keys; a snapshot is
 * checked when it is loaded. Refuses InUse, UnsafeFile, MissingFile, UnknownFormat, DamagedLog,
 * DamagedCatalog, DamagedRecord. A refusal leaves the directory unlocked for the next start.
 */
export const openStore = (
  dataDir: string,
  options: OpenStoreOptions = {},
): { store: Store; report: OpenReport } => {
  const open = options.open ?? openSqlite
  const paths = dataPaths(dataDir)
  const opened = new DisposableStack()
  try {
    makeDirectory(paths.directory)
    const lock = lockDirectory(paths.directory, open)
    opened.defer(() => lock.release())
    makeDirectory(paths.snapshots)
    const found = findDatabases(paths)
    if (!found.catalog) createCatalog(paths, open)
    const latch = new ErrorLatch()
    const allowLostCommits = options.goBackBeforeDamage ?? false
    const common = { latch, open, keyCountMax: options.keyCountMax }
    const disk = openUpdateLog(paths.catalog, CATALOG_FORMAT, {
      ...common,
      synchronous: 'FULL',
      logRules: { everyCommitSynced: true, allowLostCommits },
    })
    opened.defer(() => disk.close())
    if (!found.os) createOs(paths, disk.superblock.read(), open)
    const os = openUpdateLog(paths.os, OS_FORMAT, {
      ...common,
      synchronous: 'NORMAL',
      logRules: { everyCommitSynced: false, synced: readSyncedWatermark(paths.mark), allowLostCommits },
    })
    opened.defer(() => os.close())
    if (os.superblock.read().directory !== disk.superblock.read().directory)
      refuseData('DamagedCatalog', paths.os, 'it belongs to another data directory')
    const damagedRecords = [...disk.journal.damaged, ...os.journal.damaged]
    if (damagedRecords.length > 0 && !allowLostCommits) throw damagedRecords[0].refusal
    const mark = new SyncedWatermark(paths.mark)
    opened.defer(() => mark.close())
    const store = checkCatalog(paths, () => {
      const catalog = new Catalog(paths.catalog, disk.database)
      const store = new Store({ paths, catalog, disk, os, mark, latch, closeAll: () => opened.dispose() })
      store.load()
      return store
    })
    for (const log of [disk, os]) {
      log.dropDamaged()
      emptyLog(log)
    }
    failpoint('store:opened')
    return {
      store,
      report: { created: !found.catalog, catalogLog: disk.scan, osLog: os.scan, damagedRecords },
    }
  } catch (error) {
    opened.dispose()
    return refuseSystemError(paths.directory, error)
  }
}

/** Refuses UnsafeFile for an error of the system, in its words. Other errors are thrown as they are. */
const refuseSystemError = (directory: string, error: unknown): never => {
  const { code, syscall } = error as NodeJS.ErrnoException
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
 * Empties the log: frames that SQLite dropped would confuse the next scan. Without such, a full disk is no
 * obstacle.
 */
const emptyLog = (log: UpdateLog): void => {
  try {
    log.database.checkpoint(true)
  } catch (error) {
    if (!(error instanceof GatherdError) || log.scan.droppedFrameCount > 0) throw error
  }
}
