/** One SQLite database in WAL mode: transactions, checkpoints and syncs of its log. */
import { closeSync, constants, fsyncSync, openSync, readSync } from 'node:fs'
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { assert } from '../core/assert.ts'
import type { ErrorLatch } from './error-latch.ts'

/** A page with the head of its frame. */
const FRAME_BYTES = 4096 + 24
/** The offset of the salts in the head of a log; see wal-frames.ts. */
const SALTS_AT = 16

/**
 * One SQLite database in WAL mode that only this process opens. All writes go through {@link
 * Database.transact}, and the latch remembers their failures. Nothing else in the process may open and close
 * the file: that would drop SQLite's lock.
 */
export class Database {
  readonly path: string
  readonly #database: DatabaseSync
  readonly #latch: ErrorLatch
  readonly #begin: StatementSync
  readonly #commit: StatementSync
  readonly #countLog: StatementSync
  readonly #restartLog: StatementSync
  /**
   * A descriptor for syncs beside SQLite's own. Closing it is safe: in exclusive mode the log, unlike the
   * database, has no lock.
   */
  readonly #logDescriptor: number
  /**
   * Whether a transaction that found the disk full may have left frames in the log. Behind the next frames
   * they would look like damage, so a checkpoint must first restart the log.
   */
  #hasRemains = false
  #logNumber = 1

  /** Takes ownership of a database from {@link openDatabase}. */
  constructor(path: string, database: DatabaseSync, latch: ErrorLatch) {
    this.path = path
    this.#database = database
    this.#latch = latch
    this.#begin = database.prepare('BEGIN')
    this.#commit = database.prepare('COMMIT')
    this.#countLog = database.prepare('PRAGMA wal_checkpoint(NOOP)')
    this.#restartLog = database.prepare('PRAGMA wal_checkpoint(RESTART)')
    this.#logDescriptor = openSync(`${path}-wal`, constants.O_RDWR | constants.O_NOFOLLOW)
  }

  /** Prepares a statement. */
  prepare(sql: string): StatementSync {
    return this.#database.prepare(sql)
  }

  /**
   * Runs `write` as one transaction. Throws DISK_FULL with nothing changed, or StoreFailed after any other
   * failure.
   */
  transact(what: string, write: () => void): void {
    this.#latch.check()
    assert(!this.#database.isTransaction, 'transactions do not nest')
    if (this.#hasRemains) this.checkpoint()
    try {
      this.#begin.run()
      write()
      this.#commit.run()
    } catch (error) {
      this.#hasRemains = true
      this.#rollBack(what)
      throw this.#latch.classify(what, error)
    }
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
  logSalts(): [number, number] {
    const bytes = Buffer.alloc(8)
    readSync(this.#logDescriptor, bytes, 0, 8, SALTS_AT)
    return [bytes.readUInt32BE(0), bytes.readUInt32BE(4)]
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
   * `truncate` empties the file, which every start must do.
   */
  checkpoint(truncate = false): void {
    this.#latch.check()
    const what = `the checkpoint of ${this.path}`
    let result: { busy: number }
    try {
      const statement = truncate
        ? this.#database.prepare('PRAGMA wal_checkpoint(TRUNCATE)')
        : this.#restartLog
      result = statement.get() as { busy: number }
    } catch (error) {
      throw this.#latch.classify(what, error)
    }
    assert(result.busy === 0, 'no other connection reads the database')
    this.#hasRemains = false
    this.#logNumber++
  }

  /** Closes the file. SQLite checkpoints when the last connection closes. */
  close(): void {
    closeSync(this.#logDescriptor)
    this.#database.close()
  }
}
