/** Remembers that a write or a sync has failed, so that nothing is acknowledged afterwards. */
import { GatherdError } from '../core/errors.ts'
import { classifyDiskError, nameDiskError } from './disk-errors.ts'
import { StoreFailed } from './refusals.ts'

/**
 * Remembers the first failed write or sync until the process ends. SQLite does not: its next commit after a
 * failed fsync succeeds, because the operating system reports an error once and then treats the lost pages as
 * written. Errors that come before a write are not latched: the next attempt may succeed.
 */
export class ErrorLatch {
  #failure: StoreFailed | null = null

  /** The failure after which nothing is acknowledged, or null. */
  get failure(): StoreFailed | null {
    return this.#failure
  }

  /** Throws StoreFailed once anything has failed. */
  check(): void {
    if (this.#failure !== null) throw this.#failure
  }

  /**
   * Returns the error to throw when `error` happens during `what`: DISK_FULL or NOT_READY for a full disk and
   * for a file that could not be opened, neither of which has changed anything; for every other error
   * StoreFailed, which is latched.
   */
  classify(what: string, error: unknown): Error {
    if (this.#failure !== null) return this.#failure
    if (error instanceof GatherdError) return error
    switch (classifyDiskError(error)) {
      case 'full':
        return new GatherdError(
          'DISK_FULL',
          'the disk is full: nothing was changed; free some space, and updates are accepted again',
          { cause: error },
        )
      case 'read-only':
      case 'not-opened':
        return new GatherdError(
          'NOT_READY',
          `a file of the data directory could not be opened (${nameDiskError(error)}): ` +
            'nothing was changed; try again',
          { cause: error, headers: { 'Retry-After': '1' } },
        )
      default:
        return this.latch(what, error)
    }
  }

  /** Latches any error, and returns the failure to throw. */
  latch(what: string, error: unknown): StoreFailed {
    const { message, errcode } = error as { message?: string; errcode?: number }
    const reason = `${message ?? String(error)}${errcode === undefined ? '' : ` (SQLite ${errcode})`}`
    this.#failure ??= new StoreFailed(`${what} failed: ${reason}; updates are refused until a restart`, {
      cause: error,
    })
    return this.#failure
  }
}
