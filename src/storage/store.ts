/** The data directory of a running writer: catalog, journal and idempotency keys. */
import { GatherdError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { Catalog } from './catalog.ts'
import type { CatalogChange, CatalogImage } from './catalog-rows.ts'
import type { DataPaths } from './data-directory.ts'
import type { ErrorLatch } from './error-latch.ts'
import { failpoint } from './failpoints.ts'
import type { Journal, StreamSummary } from './journal.ts'
import { inspectJournals, type JournalEvidence, readJournals, type SequenceRange } from './journal-reader.ts'
import type { JournalRecord } from './journal-record.ts'
import type { RememberedKey } from './key-memory.ts'
import { OsSync } from './os-sync.ts'
import type { StoreFailed } from './refusals.ts'
import { refuseData } from './refusals.ts'
import { ServiceClock } from './service-clock.ts'
import type { SpaceReserve } from './space-reserve.ts'
import type { StoreBatch, StoreDependencies } from './store-dependencies.ts'
import type { UpdateBatch, UpdateLog } from './update-log.ts'

/**
 * The catalog, journal and idempotency keys of a data directory. Methods that write return when the disk has
 * the data. The first failure other than a full disk ends all writing (StoreFailed); a full disk is refused
 * as DISK_FULL, with nothing changed.
 */
export class Store {
  readonly paths: DataPaths
  /** Ages of keys and of skipped sequences are counted by it. */
  readonly clock: ServiceClock
  readonly #catalog: Catalog
  readonly #disk: UpdateLog
  readonly #os: UpdateLog
  readonly #osSync: OsSync
  readonly #reserve: SpaceReserve
  readonly #latch: ErrorLatch
  readonly #closeAll: () => void
  readonly #journals: readonly [Journal, Journal]
  readonly #directory: string
  #nextId: number
  #isClosed = false

  constructor(dependencies: StoreDependencies) {
    this.paths = dependencies.paths
    const { disk, os } = dependencies
    this.clock = new ServiceClock([disk.keys.newestMs, os.keys.newestMs].filter((ms) => ms !== null))
    this.#catalog = dependencies.catalog
    this.#disk = dependencies.disk
    this.#os = dependencies.os
    this.#osSync = new OsSync(dependencies.os.database, dependencies.latch)
    this.#reserve = dependencies.reserve
    this.#latch = dependencies.latch
    this.#closeAll = dependencies.closeAll
    this.#journals = [dependencies.disk.journal, dependencies.os.journal]
    const facts = dependencies.disk.superblock.read()
    this.#directory = facts.directory
    this.#nextId = facts.nextId
  }

  /** The failure because of which updates are refused, or null. */
  get failure(): StoreFailed | null {
    return this.#latch.failure
  }

  /**
   * Returns the error to throw when `what` failed elsewhere on the way to disk (a snapshot's sync, a rename):
   * DISK_FULL, or StoreFailed, which ends all writing.
   */
  classify(what: string, error: unknown): Error {
    return this.#latch.classify(what, error)
  }

  /** Reads the catalog and checks every row. Refuses DamagedCatalog. */
  load(): CatalogImage {
    const facts = this.#disk.superblock.read()
    if (facts.contents !== this.#catalog.summarize())
      refuseData('DamagedCatalog', this.paths.catalog, 'rows are missing, or there are more')
    return { ...this.#catalog.load(), nextId: facts.nextId }
  }

  /**
   * Returns a number for a new table or snapshot that nothing else has ever had. The next change of the
   * catalog stores it.
   */
  takeId(): number {
    return this.#nextId++
  }

  /**
   * Finds the first result of a request with this key; null when there is none that is valid and young. After
   * updates were taken back, both databases may have the key, one of them with a result that is not true.
   */
  findKey(hash: Uint8Array, isValid: (key: RememberedKey) => boolean = () => true): RememberedKey | null {
    for (const { keys } of [this.#disk, this.#os]) {
      const found = keys.find(hash)
      if (found === null || this.clock.now() - found.createdAtMs > LIMITS.idempotencyKeyAgeMsMax) continue
      if (isValid(found)) return found
    }
    return null
  }

  /**
   * Commits `batch` as one transaction, which is on disk when this returns. A batch that frees space takes
   * the reserve when the disk is full.
   */
  commit(batch: StoreBatch): void {
    const { changes = [] } = batch
    const isFreeing = changes.some(({ kind }) => kind === 'delete-table' || kind === 'delete-adapter')
    if (isFreeing) this.#reserve.runFreeing(() => this.#commit(batch, changes))
    else this.#commit(batch, changes)
  }

  #commit(batch: StoreBatch, changes: readonly CatalogChange[]): void {
    // A change of the catalog (a listed snapshot, another durability) must not survive without the `os`
    // records that it depends on.
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
    // A lost log looks like one that ended early. It must not take changes of tables with it, because the
    // files of unlisted tables would be removed.
    if (changes.length > 0) this.#disk.tryCheckpoint()
  }

  /**
   * Commits `os` updates as one transaction, which survives this process; the next sync makes it survive the
   * machine.
   */
  commitOs(batch: UpdateBatch): void {
    this.#os.commit('a commit', batch, () => failpoint('commit-os:written'))
    failpoint('commit-os:done')
  }

  /** Makes every `os` commit so far durable. */
  syncOs(): void {
    this.#osSync.sync()
  }

  /** {@link Store.syncOs} in the thread pool: once a second, so that a power cut loses no more than that. */
  syncOsInBackground(): Promise<void> {
    return this.#osSync.syncInBackground()
  }

  /** Bytes of all journal records. Snapshots, which let records be pruned, bring this down. */
  journalBytes(): number {
    return this.#disk.journal.bytes + this.#os.journal.bytes
  }

  /**
   * Lists every version that has records, deleted ones included. A version with records of both kinds is
   * listed twice.
   */
  journalStreams(): StreamSummary[] {
    return [...this.#disk.journal.describeAll(), ...this.#os.journal.describeAll()]
  }

  /** Finds the records that the journal has of a version. Skipped sequences count as if they had records. */
  inspectJournal(tableId: number, version: number, skips: readonly SequenceRange[] = []): JournalEvidence {
    return inspectJournals(this.#journals, tableId, version, skips)
  }

  /**
   * Reads the records of a version after `afterSequence`, through `throughSequence`, in order, past skipped
   * sequences. Refuses JournalGap and DamagedRecord.
   */
  readJournal(
    tableId: number,
    version: number,
    afterSequence: number,
    throughSequence?: number,
    skips?: readonly SequenceRange[],
  ): Generator<JournalRecord> {
    return readJournals(this.#journals, { tableId, version, afterSequence, throughSequence, skips })
  }

  /**
   * Removes records through `throughSequence`, which is at most the start of the oldest snapshot that is
   * kept. Each call removes a limited number; true when none is left.
   */
  pruneJournal(tableId: number, version: number, throughSequence: number): boolean {
    failpoint('prune:begun')
    const disk = this.#reserve.runFreeing(() => this.#disk.prune(tableId, version, throughSequence))
    const os = this.#reserve.runFreeing(() => this.#os.prune(tableId, version, throughSequence))
    failpoint('prune:done')
    return disk && os
  }

  /** Removes every record after `afterSequence`, when a recovery plan goes back to that sequence. */
  discardJournal(tableId: number, version: number, afterSequence: number): void {
    failpoint('discard:begun')
    this.#disk.discard(tableId, version, afterSequence)
    this.#os.discard(tableId, version, afterSequence)
    failpoint('discard:done')
  }

  /** Committed bytes of both write-ahead logs, which a checkpoint would move. */
  logBytes(): number {
    return this.#disk.database.logFrameBytes() + this.#os.database.logFrameBytes()
  }

  /**
   * Moves the write-ahead logs into their databases. Takes about two milliseconds per MiB, so do it often.
   */
  checkpoint(): void {
    failpoint('checkpoint:begun')
    this.#disk.database.checkpoint()
    this.#os.database.checkpoint()
    failpoint('checkpoint:done')
  }

  /**
   * Gives space back to the disk when no table is left, and if `hasRoom` reserves space again after deletions
   * have used it. Throws DISK_FULL or StoreFailed.
   */
  tidyUp(hasRoom: boolean): void {
    if (this.#catalog.isEmpty()) for (const { database } of [this.#disk, this.#os]) database.shrink()
    if (hasRoom) this.#reserve.fill()
  }

  /**
   * Commits the last changes of the catalog, checkpoints and releases the directory. No sync may be running.
   * After a failure it only releases: pages that SQLite itself moves on closing were durable before.
   */
  close(changes: readonly CatalogChange[] = []): void {
    if (this.#isClosed) return
    this.#isClosed = true
    try {
      if (this.#latch.failure === null) {
        if (changes.length > 0) this.commit({ changes })
        this.#disk.database.emptyLog()
        this.#os.database.emptyLog()
      }
    } catch (error) {
      // On a full disk the logs keep everything.
      if (!(error instanceof GatherdError)) throw error
    } finally {
      this.#closeAll()
    }
  }
}
