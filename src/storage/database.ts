/** One SQLite database in WAL mode: transactions, checkpoints and syncs of its log. */
import { closeSync, constants, fstatSync, fsyncSync, ftruncateSync, openSync, readSync } from 'node:fs'
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { assert } from '../core/assert.ts'
import { LIMITS } from '../core/limits.ts'
import { classifyDiskError } from './disk-errors.ts'
import type { ErrorLatch } from './error-latch.ts'
import { describeMoved, type FilePlaces, notePlaces } from './file-places.ts'
import type { SyncedWatermark } from './synced-watermark.ts'
import { LOG_HEADER_BYTES, type Salts } from './wal-frames.ts'

const PAGE_BYTES = 4096
/** A page with the head of its frame. */
const FRAME_BYTES = PAGE_BYTES + 24
/** The offset of the salts in the head of a log; see wal-frames.ts. */
const SALTS_AT = 16

export interface DatabaseOptions {
  latch: ErrorLatch
  watermark: SyncedWatermark
  /** Whether each commit is synced (synchronous=FULL), so that the watermark follows it. */
  syncsCommits: boolean
}

/**
 * One SQLite database in WAL mode that only this process opens. All writes go through {@link
 * Database.transact}, and the latch remembers their failures. Nothing else in the process may open and close
 * the file: that would drop SQLite's lock.
 */
export class Database {
  readonly path: string
  /** How far its log is known to be on disk. */
  readonly watermark: SyncedWatermark
  readonly #database: DatabaseSync
  readonly #latch: ErrorLatch
  readonly #syncsCommits: boolean
  readonly #begin: StatementSync
  readonly #commit: StatementSync
  readonly #countLog: StatementSync
  readonly #restartLog: StatementSync
  /**
   * A descriptor for syncs beside SQLite's own. Closing it is safe: in exclusive mode the log, unlike the
   * database, has no lock.
   */
  readonly #logDescriptor: number
  /** The files that each transaction finds in their places. */
  readonly #places: FilePlaces
  /**
   * Whether a transaction that found the disk full may have left frames in the log. Behind the next frames
   * they would look like damage, so they are cut off first, which needs no space.
   */
  #hasRemains = false
  #logNumber = 1
  #salts: { logNumber: number; salts: Salts } | null = null

  /** Takes ownership of a database from {@link openDatabase}, and of its watermark. */
  constructor(path: string, database: DatabaseSync, { latch, watermark, syncsCommits }: DatabaseOptions) {
    this.path = path
    this.watermark = watermark
    this.#database = database
    this.#latch = latch
    this.#syncsCommits = syncsCommits
    this.#begin = database.prepare('BEGIN')
    this.#commit = database.prepare('COMMIT')
    this.#countLog = database.prepare('PRAGMA wal_checkpoint(NOOP)')
    this.#restartLog = database.prepare('PRAGMA wal_checkpoint(RESTART)')
    this.#logDescriptor = openSync(`${path}-wal`, constants.O_RDWR | constants.O_NOFOLLOW)
    this.#places = notePlaces([path, `${path}-wal`])
  }

  /** Prepares a statement. */
  prepare(sql: string): StatementSync {
    return this.#database.prepare(sql)
  }

  /**
   * Runs `write` as one transaction. Throws DISK_FULL or NOT_READY with nothing changed, or StoreFailed after
   * any other failure, one of which is that the files are no longer in their places.
   */
  transact(what: string, write: () => void): void {
    this.#prepareWrite()
    try {
      this.#begin.run()
      write()
      this.#commit.run()
    } catch (error) {
      this.#hasRemains = true
      this.#rollBack(what)
      throw this.#latch.classify(what, error)
    }
    // A transaction that changed nothing has not begun the next log.
    if (this.#syncsCommits && this.logFrameCount() > 0) this.writeWatermark(this.logFrameCount())
  }

  #prepareWrite(): void {
    this.#latch.check()
    assert(!this.#database.isTransaction, 'transactions do not nest')
    this.#checkPlaces()
    if (this.#hasRemains) this.#cutRemains()
  }

  /**
   * Latches a data directory that was removed or replaced: commits would go on into files that no start will
   * find.
   */
  #checkPlaces(): void {
    const moved = describeMoved(this.#places)
    if (moved !== null) throw this.#latch.latch('a commit', new Error(moved))
  }

  /** Cuts the log behind its last complete commit. */
  #cutRemains(): void {
    const frameCount = this.frameCount()
    try {
      // A log without frames may be one that began anew, and whose watermark is still that of the one before.
      if (frameCount === 0) this.watermark.clear()
      ftruncateSync(this.#logDescriptor, frameCount === 0 ? 0 : LOG_HEADER_BYTES + frameCount * FRAME_BYTES)
    } catch (error) {
      throw this.#latch.classify(`cutting ${this.path}-wal`, error)
    }
    this.#hasRemains = false
  }

  /**
   * Records that the first `frameCount` frames of the log are synced. A full disk leaves the record as it
   * was.
   */
  writeWatermark(frameCount: number): void {
    try {
      this.watermark.write({ salts: this.logSalts(), frameCount })
    } catch (error) {
      if (classifyDiskError(error) !== 'full')
        throw this.#latch.latch(`writing ${this.watermark.path}`, error)
    }
  }

  /** All frames of the log, with those that a checkpoint has moved. */
  frameCount(): number {
    return (this.#countLog.get() as { log: number }).log
  }

  /** Rolls back, unless SQLite has done so itself, as after most failures: a ROLLBACK would then fail too. */
  #rollBack(what: string): void {
    try {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK')
    } catch (error) {
      this.#latch.latch(`${what}, rolled back,`, error)
    }
  }

  /** The number of the log: each checkpoint begins another. */
  get logNumber(): number {
    return this.#logNumber
  }

  /** Committed frames of the log that are not in the database yet. */
  logFrameCount(): number {
    const { log, checkpointed } = this.#countLog.get() as { log: number; checkpointed: number }
    return log === checkpointed ? 0 : log
  }

  /** Bytes of the log that a checkpoint would move. */
  logFrameBytes(): number {
    return this.logFrameCount() * FRAME_BYTES
  }

  /** The salts that tell this log from earlier and later ones in the same file. */
  logSalts(): Salts {
    if (this.#salts?.logNumber === this.#logNumber) return this.#salts.salts
    const bytes = Buffer.alloc(8)
    readSync(this.#logDescriptor, bytes, 0, 8, SALTS_AT)
    const salts = [bytes.readUInt32BE(0), bytes.readUInt32BE(4)] as const
    this.#salts = { logNumber: this.#logNumber, salts }
    return salts
  }

  /** The open log, for a sync in the thread pool. */
  get logDescriptor(): number {
    return this.#logDescriptor
  }

  /** Makes every commit so far durable. With synchronous=FULL each commit already is. */
  syncLog(): void {
    this.#latch.check()
    try {
      fsyncSync(this.#logDescriptor)
    } catch (error) {
      throw this.#latch.latch(`the sync of ${this.path}-wal`, error)
    }
  }

  /**
   * Moves the log into the database; the next commit begins a new log in its place. The file keeps its
   * length, because a commit into existing blocks is synced twice as fast as one that lengthens the file.
   */
  checkpoint(): void {
    this.#checkpoint(this.#restartLog)
  }

  /** Moves the log into the database, clears the watermark, and empties the file. Every start does so. */
  emptyLog(): void {
    this.checkpoint()
    try {
      this.watermark.clear()
    } catch (error) {
      throw this.#latch.classify(`writing ${this.watermark.path}`, error)
    }
    this.#checkpoint(this.#database.prepare('PRAGMA wal_checkpoint(TRUNCATE)'))
  }

  /**
   * Gives the space of empty pages, and that of the log, back to the disk, if it is worth it; see `LIMITS`.
   * Writes the database anew, so nothing may wait for the writer meanwhile. Throws DISK_FULL or StoreFailed.
   */
  shrink(): void {
    const read = (pragma: string): number =>
      (this.#database.prepare(`SELECT * FROM pragma_${pragma}`).get() as Record<string, number>)[pragma]
    const freeBytes = read('freelist_count') * PAGE_BYTES
    const usedBytes = read('page_count') * PAGE_BYTES - freeBytes
    if (freeBytes >= LIMITS.storeFreeBytesMin && usedBytes <= LIMITS.storeVacuumBytesMax) {
      this.#prepareWrite()
      try {
        this.#database.exec('VACUUM')
      } catch (error) {
        this.#hasRemains = true
        throw this.#latch.classify(`shrinking ${this.path}`, error)
      }
    }
    if (fstatSync(this.#logDescriptor).size >= LIMITS.storeFreeBytesMin) this.emptyLog()
  }

  #checkpoint(statement: StatementSync): void {
    this.#latch.check()
    let result: { busy: number }
    try {
      result = statement.get() as { busy: number }
    } catch (error) {
      throw this.#latch.classify(`the checkpoint of ${this.path}`, error)
    }
    assert(result.busy === 0, 'no other connection reads the database')
    this.#hasRemains = false
    this.#logNumber++
  }

  /** Closes the file. SQLite checkpoints when the last connection closes. */
  close(): void {
    closeSync(this.#logDescriptor)
    this.watermark.closeAround(`${this.path}-wal`, () => this.#database.close())
  }
}
