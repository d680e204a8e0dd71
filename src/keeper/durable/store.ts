import { fsync } from 'node:fs'
import { promisify } from 'node:util'
import { GatherdError } from '../../core/errors.ts'
import { Catalog } from './catalog.ts'
import type { CatalogChange, CatalogImage } from './catalog-rows.ts'
import type { DataPaths } from './data-directory.ts'
import type { ErrorLatch } from './error-latch.ts'
import { failpoint } from './failpoints.ts'
import type { StreamSummary } from './journal.ts'
import type { JournalRecord } from './journal-record.ts'
import type { RememberedKey } from './key-memory.ts'
import { mergeSequences, type SequenceRange, toRanges } from './sequences.ts'
import type { StoreFailed } from './refusals.ts'
import { refuseData } from './refusals.ts'
import type { SyncMark } from './sync-mark.ts'
import type { UpdateBatch, UpdateLog } from './update-log.ts'

export interface StoreBatch extends UpdateBatch {
  changes?: readonly CatalogChange[]
}

/** The parts of a store, opened and checked by `openStore`. */
export interface StoreParts {
  paths: DataPaths
  catalog: Catalog
  /** catalog.db, synced with each commit. */
  disk: UpdateLog
  /** os.db, synced once a second. */
  os: UpdateLog
  mark: SyncMark
  latch: ErrorLatch
  /** Closes databases and mark, and releases the lock, in the right order. */
  closeAll: () => void
}

/** What the journal holds of one version. */
export interface JournalEvidence {
  /** Runs of sequences without a gap, ascending. */
  ranges: SequenceRange[]
  /** The highest sequence that was answered as durable; 0 if none was. */
  promised: number
}

const fsyncInPool = promisify(fsync)

/**
 * The data directory of a running keeper: catalog, journal and idempotency keys. Nothing here waits but for the disk; methods
 * that write return when it is done. The first failure other than a full disk ends all writing (StoreFailed); a full disk is
 * refused as DISK_FULL, with nothing changed.
 */
export class Store {
  readonly paths: DataPaths
  readonly #catalog: Catalog
  readonly #disk: UpdateLog
  readonly #os: UpdateLog
  readonly #mark: SyncMark
  readonly #latch: ErrorLatch
  readonly #closeAll: () => void
  readonly #directory: string
  #nextId: number
  /** Frames of os.db's log that are known to be synced. */
  #osSyncedFrames = 0
  #checkpointCount = 0

  constructor(parts: StoreParts) {
    this.paths = parts.paths
    this.#catalog = parts.catalog
    this.#disk = parts.disk
    this.#os = parts.os
    this.#mark = parts.mark
    this.#latch = parts.latch
    this.#closeAll = parts.closeAll
    const sealed = parts.disk.seal.read()
    this.#directory = sealed.directory
    this.#nextId = sealed.nextId
  }

  /** Why updates are refused, or null. */
  get failure(): StoreFailed | null {
    return this.#latch.failure
  }

  /** Ends all writing, since `what` failed elsewhere in the durable path: a snapshot's sync, a rename. */
  fail(what: string, error: unknown): StoreFailed {
    return this.#latch.latch(what, error)
  }

  /** The catalog, every row checked. Refuses DamagedCatalog. */
  load(): CatalogImage {
    const sealed = this.#disk.seal.read()
    if (sealed.contents !== this.#catalog.summarize()) refuseData('DamagedCatalog', this.paths.catalog, 'rows are missing, or there are more')
    return { ...this.#catalog.load(), nextId: sealed.nextId }
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
        this.#disk.seal.write({ directory: this.#directory, nextId: this.#nextId, contents: this.#catalog.summarize() })
      }
      failpoint('commit:written')
    })
    failpoint('commit:durable')
  }

  /** Commits `os` updates as one transaction, which survives this process; the next sync makes it survive the machine. */
  commitOs(batch: UpdateBatch): void {
    this.#os.commit('a commit', batch, () => failpoint('commit-os:written'))
    failpoint('commit-os:done')
  }

  /** Makes every `os` commit so far durable. */
  syncOs(): void {
    const frameCount = this.#os.database.logFrameCount()
    if (frameCount <= this.#osSyncedFrames) return
    const salts = this.#os.database.logSalts()
    this.#os.database.syncLog()
    this.#noteSynced(salts, frameCount)
  }

  /** {@link Store.syncOs} in the thread pool: once a second, so that a power cut loses no more than that. */
  async syncOsInBackground(): Promise<void> {
    this.#latch.check()
    const frameCount = this.#os.database.logFrameCount()
    if (frameCount <= this.#osSyncedFrames) return
    const salts = this.#os.database.logSalts()
    const checkpointCount = this.#checkpointCount
    try {
      await fsyncInPool(this.#os.database.logDescriptor)
    } catch (error) {
      throw this.#latch.latch(`the sync of ${this.paths.os}-wal`, error)
    }
    // A checkpoint meanwhile has synced more, and begun another log.
    if (checkpointCount === this.#checkpointCount) this.#noteSynced(salts, frameCount)
  }

  #noteSynced(salts: readonly [number, number], frameCount: number): void {
    this.#osSyncedFrames = Math.max(this.#osSyncedFrames, frameCount)
    try {
      this.#mark.write({ salts, frameCount: this.#osSyncedFrames })
    } catch (error) {
      throw this.#latch.judge(`writing ${this.paths.mark}`, error)
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
    const parts = [this.#disk, this.#os].map((log) => log.journal.describe(tableId, version))
    return {
      ranges: toRanges(mergeSequences(parts[0]?.sequences ?? [], parts[1]?.sequences ?? []).map(({ sequence }) => sequence)),
      promised: Math.max(parts[0]?.promised ?? 0, parts[1]?.promised ?? 0),
    }
  }

  /**
   * The records of a version after `afterSequence`, in order. Refuses JournalGap when one is missing between, or before
   * `throughSequence` unless that is Infinity; DamagedRecord when one cannot be read.
   */
  *readJournal(tableId: number, version: number, afterSequence: number, throughSequence = Infinity): Generator<JournalRecord> {
    const [disk, os] = [this.#disk, this.#os].map((log) => log.journal.describe(tableId, version)?.sequences ?? [])
    let expected = afterSequence + 1
    for (const { sequence, source } of mergeSequences(disk, os)) {
      if (sequence < expected) continue
      if (sequence > throughSequence) break
      if (sequence > expected) this.#refuseGap(tableId, version, expected, sequence - 1)
      yield (source === 0 ? this.#disk : this.#os).journal.read(tableId, version, sequence)
      expected = sequence + 1
    }
    if (throughSequence !== Infinity && expected <= throughSequence) this.#refuseGap(tableId, version, expected, throughSequence)
  }

  #refuseGap(tableId: number, version: number, first: number, last: number): never {
    const what = first === last ? `sequence ${first}` : `sequences ${first} to ${last}`
    return refuseData('JournalGap', this.paths.catalog, `the journal of table ${tableId}, version ${version} lacks ${what}`)
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

  /** Moves the write-ahead logs into their databases. Takes the keeper about a millisecond per MiB: often and little. */
  checkpoint(): void {
    failpoint('checkpoint:begun')
    this.#disk.database.checkpoint()
    this.#os.database.checkpoint()
    this.#osSyncedFrames = 0
    this.#checkpointCount++
    failpoint('checkpoint:done')
  }

  /** Checkpoints, and lets go of the directory. After a failure the logs stay as they are for the next start to judge. */
  close(): void {
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
