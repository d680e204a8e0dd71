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
import { openSqlite, type OpenSqlite, presentFormat, refuseDatabase } from './database-file.ts'
import { ErrorLatch } from './error-latch.ts'
import { failpoint } from './failpoints.ts'
import type { DamagedEntry } from './journal.ts'
import { refuseData, type StoredDataRefusal } from './refusals.ts'
import { Store } from './store.ts'
import { readSyncedWatermark, SyncedWatermark } from './synced-watermark.ts'
import { openUpdateLog, type UpdateLog } from './update-log.ts'
import type { LogScan } from './wal-scan.ts'

export interface OpenStoreOptions {
  /**
   * Whether to go back to a state before the damage of logs and journal instead of refusing; the report tells
   * which updates that loses.
   */
  goBackBeforeDamage?: boolean
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
}

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
 * checked when it is loaded. Refuses InUse, UnsafeFile, MissingFile, UnknownFormat, DamagedLog,
 * DamagedCatalog, DamagedRecord, DamagedKey. A refusal leaves the directory unlocked for the next start.
 */
export const openStore = (
  dataDir: string,
  options: OpenStoreOptions = {},
): { store: Store; report: OpenReport } => {
  const open = options.open ?? openSqlite
  const paths = dataPaths(dataDir)
  const cleanup = new DisposableStack()
  try {
    makeDirectory(paths.directory)
    const lock = lockDirectory(paths.directory, open)
    cleanup.defer(() => lock.release())
    makeDirectory(paths.snapshots)
    const exists = findDatabases(paths)
    if (!exists.catalog) createCatalog(paths, open)
    const latch = new ErrorLatch()
    const allowLostCommits = options.goBackBeforeDamage ?? false
    const shared = { latch, open, keyCountMax: options.keyCountMax }
    const disk = openUpdateLog(paths.catalog, CATALOG_FORMAT, {
      ...shared,
      synchronous: 'FULL',
      logRules: { everyCommitSynced: true, allowLostCommits },
    })
    cleanup.defer(() => disk.close())
    if (!exists.os) createOs(paths, disk.superblock.read(), open)
    const os = openUpdateLog(paths.os, OS_FORMAT, {
      ...shared,
      synchronous: 'NORMAL',
      logRules: { everyCommitSynced: false, synced: readSyncedWatermark(paths.mark), allowLostCommits },
    })
    cleanup.defer(() => os.close())
    if (os.superblock.read().directory !== disk.superblock.read().directory)
      refuseData('DamagedCatalog', paths.os, 'it belongs to another data directory')
    const damagedRecords = [...disk.journal.damaged, ...os.journal.damaged]
    const damagedKeys = [...disk.keys.damaged, ...os.keys.damaged].map(({ refusal }) => refusal)
    const [damage] = [...damagedRecords.map(({ refusal }) => refusal), ...damagedKeys]
    if (damage !== undefined && !allowLostCommits) throw damage
    const mark = new SyncedWatermark(paths.mark)
    cleanup.defer(() => mark.close())
    const store = checkCatalog(paths, () => {
      const catalog = new Catalog(paths.catalog, disk.database)
      const store = new Store({ paths, catalog, disk, os, mark, latch, closeAll: () => cleanup.dispose() })
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
      report: {
        created: !exists.catalog,
        catalogLog: disk.scan,
        osLog: os.scan,
        formatBefore: disk.formatBefore,
        damagedRecords,
        damagedKeys,
      },
    }
  } catch (error) {
    cleanup.dispose()
    return refuseSystemError(paths.directory, error)
  }
}

/**
 * Refuses UnsafeFile for an error of the operating system, with its code. Other errors are thrown unchanged.
 */
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
 * Empties the log, because frames that SQLite dropped would confuse the next scan. If there are none, a full
 * disk is not an error.
 */
const emptyLog = (log: UpdateLog): void => {
  try {
    log.database.checkpoint(true)
  } catch (error) {
    if (!(error instanceof GatherdError) || log.scan.droppedFrameCount > 0) throw error
  }
}
