/** Watches the disk under the store, and decides whether the service is ready or degraded. */
import { statfsSync } from 'node:fs'
import { GatherdError } from '../../core/errors.ts'
import { LIMITS } from '../../core/limits.ts'
import { classifyDiskError, nameDiskError } from '../../storage/disk-errors.ts'
import { StoreFailed } from '../../storage/refusals.ts'
import type { Store } from '../../storage/store.ts'
import type { WriterHealth } from '../protocol.ts'

const TICK_MS = 1_000
/** After a full disk, updates are accepted again when this much is free. */
const FREE_BYTES_MIN = 64 * 1024
const READY: WriterHealth = { state: 'ready', reason: 'ready' }

/** Explains a failed store to clients: the kind of failure and what helps, without paths. */
export const describeFailure = ({ cause }: StoreFailed): string => {
  const { code, errcode, errstr } = (cause ?? {}) as { code?: string; errcode?: number; errstr?: string }
  const which =
    errcode === undefined ? (code ?? 'an error of the system') : `${errstr ?? 'SQLite'} (${errcode})`
  return (
    `the data directory could not be written: ${which}; ` +
    'updates are refused until a restart, lookups go on'
  )
}

/**
 * Returns `error` as clients hear it. A store that failed, and a disk that cannot be read now, refuse
 * NOT_READY; other errors are as they are.
 */
export const toRefusal = (error: unknown): unknown => {
  if (error instanceof GatherdError) return error
  if (error instanceof StoreFailed)
    return new GatherdError('NOT_READY', describeFailure(error), { cause: error })
  if (classifyDiskError(error) === null) return error
  const detail = `the data directory could not be used (${nameDiskError(error)}): try again later`
  return new GatherdError('NOT_READY', detail, { cause: error })
}

/** Syncs and checkpoints an open store, and reports when its disk turns full or usable again. */
export class StoreHealth {
  readonly #store: Store
  readonly #onChange: (health: WriterHealth) => void
  readonly #onError: (error: unknown) => void
  readonly #timer: NodeJS.Timeout
  #state: WriterHealth['state'] = 'ready'
  #isFull = false
  #syncing: Promise<void> = Promise.resolve()
  #isSyncing = false

  constructor(store: Store, onChange: (health: WriterHealth) => void, onError: (error: unknown) => void) {
    this.#store = store
    this.#onChange = onChange
    this.#onError = onError
    this.#timer = setInterval(() => this.#tick(), TICK_MS)
    this.#timer.unref()
  }

  /** Takes note of the outcome of an operation that used the disk: an error, or null. */
  note(error: unknown): void {
    if (error === null) {
      this.#isFull = false
      this.#checkpoint()
    } else if (error instanceof GatherdError) this.#isFull ||= error.code === 'DISK_FULL'
    else if (classifyDiskError(error) !== null) this.#onError(error)
    this.#tell()
  }

  /** Takes note of a disk that was found full at the start. */
  noteFull(): void {
    this.#isFull = true
    this.#tell()
  }

  async close(): Promise<void> {
    clearInterval(this.#timer)
    await this.#syncing
  }

  #tick(): void {
    if (this.#isFull && this.#hasSpace()) this.#isFull = false
    if (!this.#isFull) this.#tidyUp()
    this.#tell()
    if (this.#isSyncing || this.#store.failure !== null) return
    this.#isSyncing = true
    this.#syncing = this.#store
      .syncOsInBackground()
      .catch(this.#onError)
      .finally(() => (this.#isSyncing = false))
  }

  /** Checkpoints while the logs are small, because a large checkpoint would delay updates. */
  #checkpoint(): void {
    try {
      if (this.#store.failure === null && this.#store.logBytes() > LIMITS.logBytesMax)
        this.#store.checkpoint()
    } catch (error) {
      this.#isFull = error instanceof GatherdError && error.code === 'DISK_FULL'
      this.#onError(error)
    }
  }

  /** Gives space back to the disk when no table is left, and takes the reserve when it was used. */
  #tidyUp(): void {
    if (this.#store.failure !== null) return
    try {
      this.#store.tidyUp(this.#freeBytes() > 4 * LIMITS.diskReserveBytes)
    } catch (error) {
      this.#onError(error)
    }
  }

  #hasSpace(): boolean {
    return this.#freeBytes() >= FREE_BYTES_MIN
  }

  #freeBytes(): number {
    try {
      const { bavail, bsize } = statfsSync(this.#store.paths.directory)
      return bavail * bsize
    } catch {
      return 0
    }
  }

  #tell(): void {
    const { failure } = this.#store
    const health: WriterHealth =
      failure !== null
        ? { state: 'degraded', reason: describeFailure(failure) }
        : this.#isFull
          ? {
              state: 'degraded',
              reason: 'the disk is full: updates are refused until there is space, lookups go on',
            }
          : READY
    if (health.state === this.#state) return
    this.#state = health.state
    this.#onChange(health)
  }
}
