/**
 * One database with the journal and the idempotency keys of one durability, written in common transactions.
 */
import type { DatabaseSync } from 'node:sqlite'
import { GatherdError } from '../core/errors.ts'
import { Database } from './database.ts'
import {
  type DatabaseFormat,
  isWatermarked,
  migrate,
  openDatabase,
  type OpenSqlite,
  refuseDatabase,
} from './database-file.ts'
import { refuseDiskError } from './disk-errors.ts'
import type { ErrorLatch } from './error-latch.ts'
import { Journal } from './journal.ts'
import { encodeRecord, type JournalRecord } from './journal-record.ts'
import { KeyMemory, type RememberedKey } from './key-memory.ts'
import { Superblock } from './superblock.ts'
import { cutLog } from './log-cut.ts'
import { readSyncedWatermark, SyncedWatermark } from './synced-watermark.ts'
import { type LogRules, type LogScan, scanLog } from './wal-scan.ts'

/** Updates that one transaction commits: all of them or none. */
export interface UpdateBatch {
  /** In the order of their sequences. */
  records?: readonly JournalRecord[]
  /** The keys of these updates, and of others that changed nothing. */
  keys?: readonly RememberedKey[]
}

export interface UpdateLogOptions {
  synchronous: 'FULL' | 'NORMAL'
  /** The path of the synced watermark of its log. */
  watermark: string
  logRules: Omit<LogRules, 'synced' | 'needsWatermark'>
  latch: ErrorLatch
  open: OpenSqlite
  keyCountMax?: number
}

/** One database with a journal, idempotency keys, and a superblock. */
export class UpdateLog {
  readonly database: Database
  readonly journal: Journal
  readonly keys: KeyMemory
  readonly superblock: Superblock
  /** The state of its write-ahead log before SQLite opened it. */
  readonly scan: LogScan
  /** The format that it had before it was opened. */
  readonly formatBefore: number

  constructor(
    opened: Pick<UpdateLog, 'database' | 'journal' | 'keys' | 'superblock' | 'scan' | 'formatBefore'>,
  ) {
    this.database = opened.database
    this.journal = opened.journal
    this.keys = opened.keys
    this.superblock = opened.superblock
    this.scan = opened.scan
    this.formatBefore = opened.formatBefore
  }

  /** Closes the file. SQLite checkpoints once more when it does. */
  close(): void {
    this.database.close()
  }

  /**
   * Commits `batch`. `writeMore` runs last, in the same transaction. Throws DISK_FULL or StoreFailed, and
   * then nothing is changed.
   */
  commit(what: string, batch: UpdateBatch, writeMore: () => void = () => {}): void {
    const { records = [], keys = [] } = batch
    this.journal.checkOrder(records)
    const encoded = records.map(encodeRecord)
    let confirmRecords = () => {}
    let confirmKeys = () => {}
    this.database.transact(what, () => {
      confirmRecords = this.journal.write(records, encoded)
      confirmKeys = this.keys.write(keys)
      writeMore()
    })
    confirmRecords()
    confirmKeys()
  }

  /** Moves the log into the database. On a full disk the log stays, and nothing is lost. */
  tryCheckpoint(): void {
    try {
      this.database.checkpoint()
    } catch (error) {
      if (!(error instanceof GatherdError)) throw error
    }
  }

  /**
   * Removes a limited number of records of a version through `throughSequence`, oldest first; true if none is
   * left.
   */
  prune(tableId: number, version: number, throughSequence: number): boolean {
    if (this.journal.describe(tableId, version) === null) return true
    let confirm = () => true
    this.database.transact('pruning the journal', () => {
      confirm = this.journal.prune(tableId, version, throughSequence)
    })
    return confirm()
  }

  /** Removes the records and keys that cannot be read. */
  dropDamaged(): void {
    if (this.journal.damaged.length + this.keys.damaged.length === 0) return
    this.database.transact('dropping damaged records and keys', () => {
      this.journal.deleteDamaged()
      this.keys.deleteDamaged()
    })
  }

  /** Removes every record of a version after `afterSequence`. */
  discard(tableId: number, version: number, afterSequence: number): void {
    let confirm = () => {}
    this.database.transact('discarding records', () => {
      confirm = this.journal.discard(tableId, version, afterSequence)
    })
    confirm()
  }
}

/**
 * Opens and checks everything in the file, its write-ahead log first: behind its last complete commit the log
 * is cut, which needs no space. Refuses InUse, UnknownFormat, DamagedLog, DamagedCatalog, and what
 * {@link refuseDiskError} does; damaged records and keys are in `journal.damaged` and `keys.damaged`.
 */
export const openUpdateLog = (path: string, format: DatabaseFormat, options: UpdateLogOptions): UpdateLog => {
  const scan = scanLog(`${path}-wal`, {
    ...options.logRules,
    synced: readSyncedWatermark(options.watermark),
    needsWatermark: passDiskErrors(path, () => isWatermarked(path, format)),
  })
  const watermark = passDiskErrors(options.watermark, () => new SyncedWatermark(options.watermark))
  let opened: DatabaseSync | null = null
  const open: OpenSqlite = (file) => (opened = options.open(file))
  try {
    cutLog(`${path}-wal`, scan, watermark, options.logRules.allowLostCommits === true)
    return readDatabase(path, format, { ...options, open, watermark, scan })
  } catch (error) {
    watermark.closeAround(`${path}-wal`, () => opened?.close())
    return refuseDatabase(path, error)
  }
}

const passDiskErrors = <Result>(path: string, run: () => Result): Result => {
  try {
    return run()
  } catch (error) {
    return refuseDiskError(path, error)
  }
}

const readDatabase = (
  path: string,
  format: DatabaseFormat,
  options: Omit<UpdateLogOptions, 'watermark'> & { watermark: SyncedWatermark; scan: LogScan },
): UpdateLog => {
  const { latch, watermark, scan, synchronous, keyCountMax, open } = options
  const opened = openDatabase(path, format, synchronous, open)
  const formatBefore = migrate(opened, path, format)
  const journal = new Journal(path, opened)
  const keys = new KeyMemory(path, opened, keyCountMax)
  const superblock = new Superblock(path, opened)
  journal.load()
  keys.load()
  superblock.read()
  const database = new Database(path, opened, { latch, watermark, syncsCommits: synchronous === 'FULL' })
  return new UpdateLog({ database, journal, keys, superblock, scan, formatBefore })
}
