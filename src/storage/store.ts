import { fsync } from 'node:fs'
import { promisify } from 'node:util'
import { GatherdError } from '../core/errors.ts'
import { Catalog } from './catalog.ts'
import type { CatalogChange, CatalogImage } from './catalog-rows.ts'
import type { DataPaths } from './data-directory.ts'
import type { ErrorLatch } from './error-latch.ts'
import { failpoint } from './failpoints.ts'
import type { Journal, StreamSummary } from './journal.ts'
import { inspectJournals, type JournalEvidence, readJournals } from './journal-reader.ts'
import type { JournalRecord } from './journal-record.ts'
import type { RememberedKey } from './key-memory.ts'
import type { StoreFailed } from './refusals.ts'
import { refuseData } from './refusals.ts'
import type { SyncedWatermark } from './synced-watermark.ts'
import type { UpdateBatch, UpdateLog } from './update-log.ts'
import type { SyncedFrames } from './wal-scan.ts'

export interface StoreBatch extends UpdateBatch {
  changes?: readonly CatalogChange[]
}

/** The parts of a store, opened and checked by `openStore`. */
export interface StoreDependencies {
  paths: DataPaths
  catalog: Catalog
  /** catalog.db, synced with each commit. */
  disk: UpdateLog
  /** os.db, synced once a second. */
  os: UpdateLog
  mark: SyncedWatermark
  latch: ErrorLatch
  /** Closes databases and mark, and releases the lock, in the right order. */
  closeAll: () => void
}

interface UnsyncedLog extends SyncedFrames {
  logNumber: number
}

const fsyncInPool = promisify(fsync)

/**
 * The data directory of a running writer: catalog, journal and idempotency keys. Nothing here waits but for the disk; methods
 * that write return when it is done. The first failure other than a full disk ends all writing (StoreFailed); a full disk is
 * refused as DISK_FULL, with nothing changed.
 */
export class Store {
  readonly paths: DataPaths
  readonly #catalog: Catalog
  readonly #disk: UpdateLog
  readonly #os: UpdateLog
  readonly #mark: SyncedWatermark
  readonly #latch: ErrorLatch
  readonly #closeAll: () => void
  readonly #journals: readonly [Journal, Journal]
  readonly #directory: string
  #nextId: number
  /** How much of which log of os.db is known to be synced. */
  #osSynced = { logNumber: 0, frameCount: 0 }
  #isClosed = false

  constructor(parts: StoreDependencies) {
    this.paths = parts.paths
    this.#catalog = parts.catalog
    this.#disk = parts.disk
    this.#os = parts.os
    this.#mark = parts.mark
    this.#latch = parts.latch
    this.#closeAll = parts.closeAll
    this.#journals = [parts.disk.journal, parts.os.journal]
    const facts = parts.disk.superblock.read()
    this.#directory = facts.directory
    this.#nextId = facts.nextId
  }

  /** Why updates are refused, or null. */
  get failure(): StoreFailed | null {
    return this.#latch.failure
  }

  /**
   * What to throw when `what` failed elsewhere in the durable path (a snapshot's sync, a rename): DISK_FULL, or StoreFailed,
   * which ends all writing.
   */
  classify(what: string, error: unknown): Error {
    return this.#latch.classify(what, error)
  }

  /** The catalog, every row checked. Refuses DamagedCatalog. */
  load(): CatalogImage {
    const facts = this.#disk.superblock.read()
    if (facts.contents !== this.#catalog.summarize())
      refuseData('DamagedCatalog', this.paths.catalog, 'rows are missing, or there are more')
    return { ...this.#catalog.load(), nextId: facts.nextId }
  }

  /** A number for a new table or snapshot, that nothing else ever had. Remembered with the next change of the catalog. */
  takeId(): number {
    return this.#nextId++
  }

  /** The first result of a request with this key; null when there is none. */
  findKey(hash: Uint8Array): RememberedKey | null {
    return this.#disk.keys.find(hash) ?? this.#os.keys.find(hash)
  }

  /** Commits `batch` as one transaction, on disk when it returns. */
  commit(batch: StoreBatch): void {
    const { changes = [] } = batch
    // What the catalog says of a version (a snapshot and its end, another mode) must not outlive the records it builds on.
    if (changes.length > 0) this.syncOs()
    failpoint('commit:begun')
    this.#disk.commit('a commit', batch, () => {
      for (const change of changes) this.#catalog.apply(change)
      if (changes.length > 0) {
        this.#disk.superblock.write({
          directory: this.#directory,
          nextId: this.#nextId,
          contents: this.#catalog.summarize(),
        })
      }
      failpoint('commit:written')
    })
    failpoint('commit:durable')
    // Whoever loses the log, which looks like any that ended early, must not lose tables with it, and then the files that no catalog lists.
    if (changes.length > 0) this.#disk.whenIdle()
  }

  /** Commits `os` updates as one transaction, which survives this process; the next sync makes it survive the machine. */
  commitOs(batch: UpdateBatch): void {
    this.#os.commit('a commit', batch, () => failpoint('commit-os:written'))
    failpoint('commit-os:done')
  }

  /** Makes every `os` commit so far durable. */
  syncOs(): void {
    const unsynced = this.#findUnsynced()
    if (unsynced === null) return
    this.#os.database.syncLog()
    this.#noteSynced(unsynced)
  }

  /** {@link Store.syncOs} in the thread pool: once a second, so that a power cut loses no more than that. */
  async syncOsInBackground(): Promise<void> {
    this.#latch.check()
    const unsynced = this.#findUnsynced()
    if (unsynced === null) return
    try {
      await fsyncInPool(this.#os.database.logDescriptor)
    } catch (error) {
      throw this.#latch.latch(`the sync of ${this.paths.os}-wal`, error)
    }
    this.#noteSynced(unsynced)
  }

  /** What a sync now would cover, or null if that is nothing new. */
  #findUnsynced(): UnsyncedLog | null {
    const { database } = this.#os
    const frameCount = database.logFrameCount()
    const known = this.#osSynced.logNumber === database.logNumber ? this.#osSynced.frameCount : 0
    return frameCount <= known
      ? null
      : { logNumber: database.logNumber, frameCount, salts: database.logSalts() }
  }

  #noteSynced(synced: UnsyncedLog): void {
    const { logNumber, frameCount } = this.#osSynced
    // A checkpoint meanwhile has synced it all, and begun another log; another sync may have covered more.
    if (
      synced.logNumber !== this.#os.database.logNumber ||
      (logNumber === synced.logNumber && frameCount >= synced.frameCount)
    )
      return
    this.#osSynced = synced
    try {
      this.#mark.write(synced)
    } catch (error) {
      throw this.#latch.classify(`writing ${this.paths.mark}`, error)
    }
  }

  /** Bytes of all journal records: what snapshots and prunes bring down. */
  journalBytes(): number {
    return this.#disk.journal.bytes + this.#os.journal.bytes
  }

  /** Every version that has records, deleted ones included. A version with records of both kinds is listed twice. */
  journalStreams(): StreamSummary[] {
    return [...this.#disk.journal.describeAll(), ...this.#os.journal.describeAll()]
  }

  /** What the journal holds of a version. */
  inspectJournal(tableId: number, version: number): JournalEvidence {
    return inspectJournals(this.#journals, tableId, version)
  }

  /** The records of a version after `afterSequence`, through `throughSequence`, in order. Refuses JournalGap and DamagedRecord. */
  readJournal(
    tableId: number,
    version: number,
    afterSequence: number,
    throughSequence?: number,
  ): Generator<JournalRecord> {
    return readJournals(this.#journals, { tableId, version, afterSequence, throughSequence })
  }

  /**
   * Removes records through `throughSequence`: at most the start of the oldest snapshot that is kept. A bounded number a call;
   * true when none is left.
   */
  pruneJournal(tableId: number, version: number, throughSequence: number): boolean {
    failpoint('prune:begun')
    const disk = this.#disk.prune(tableId, version, throughSequence)
    const os = this.#os.prune(tableId, version, throughSequence)
    failpoint('prune:done')
    return disk && os
  }

  /** Removes every record after `afterSequence`: those that a plan goes back before. */
  discardJournal(tableId: number, version: number, afterSequence: number): void {
    failpoint('discard:begun')
    this.#disk.discard(tableId, version, afterSequence)
    this.#os.discard(tableId, version, afterSequence)
    failpoint('discard:done')
  }

  /** Committed bytes of both write-ahead logs: what a checkpoint has to move. */
  logBytes(): number {
    return this.#disk.database.logFrameBytes() + this.#os.database.logFrameBytes()
  }

  /** Moves the write-ahead logs into their databases. Takes the writer about two milliseconds per MiB: often and little. */
  checkpoint(): void {
    failpoint('checkpoint:begun')
    this.#disk.database.checkpoint()
    this.#os.database.checkpoint()
    failpoint('checkpoint:done')
  }

  /**
   * Checkpoints, and lets go of the directory; no sync may be under way. After a failure it only lets go: what SQLite itself moves
   * on closing was durable before.
   */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    try {
      if (this.#latch.failure === null) {
        this.#disk.database.checkpoint(true)
        this.#os.database.checkpoint(true)
      }
    } catch (error) {
      // On a full disk the logs keep everything.
      if (!(error instanceof GatherdError)) throw error
    } finally {
      this.#closeAll()
    }
  }
}
