/**
 * Syncs the log of os.db, and records in the synced watermark how far that went. Commits of os.db survive the
 * process at once, but a power cut only after a sync.
 */
import { fsync } from 'node:fs'
import { promisify } from 'node:util'
import type { Database } from './database.ts'
import type { ErrorLatch } from './error-latch.ts'
interface UnsyncedLog {
  logNumber: number
  frameCount: number
}

const fsyncInPool = promisify(fsync)

/** The syncs of os.db. A failed one ends all writing: the latch remembers it. */
export class OsSync {
  readonly #database: Database
  readonly #latch: ErrorLatch
  /** The log that was synced last, and how many of its frames are known to be synced. */
  #synced = { logNumber: 0, frameCount: 0 }

  constructor(database: Database, latch: ErrorLatch) {
    this.#database = database
    this.#latch = latch
  }

  /** Makes every commit so far durable. Throws StoreFailed. */
  sync(): void {
    const unsynced = this.#findUnsynced()
    if (unsynced === null) return
    this.#database.syncLog()
    this.#recordSynced(unsynced)
  }

  /** Does the same in the thread pool, so that the writer continues meanwhile. */
  async syncInBackground(): Promise<void> {
    this.#latch.check()
    const unsynced = this.#findUnsynced()
    if (unsynced === null) return
    try {
      await fsyncInPool(this.#database.logDescriptor)
    } catch (error) {
      throw this.#latch.latch(`the sync of ${this.#database.path}-wal`, error)
    }
    this.#recordSynced(unsynced)
  }

  /** Finds the frames that a sync would now cover; null if all of them are synced. */
  #findUnsynced(): UnsyncedLog | null {
    const { logNumber } = this.#database
    const frameCount = this.#database.logFrameCount()
    const known = this.#synced.logNumber === logNumber ? this.#synced.frameCount : 0
    return frameCount <= known ? null : { logNumber, frameCount }
  }

  #recordSynced(synced: UnsyncedLog): void {
    const { logNumber, frameCount } = this.#synced
    // A checkpoint meanwhile has synced everything and begun another log, or another sync may have covered
    // more frames.
    const isStale = synced.logNumber !== this.#database.logNumber
    if (isStale || (logNumber === synced.logNumber && frameCount >= synced.frameCount)) return
    this.#synced = synced
    this.#database.writeWatermark(synced.frameCount)
  }
}
