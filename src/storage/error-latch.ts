/** Remembers that a write or a sync has failed, so that nothing is acknowledged afterwards. */
import { GatherdError } from '../core/errors.ts'
import { isDiskFullCode } from '../system/disk.ts'
import { StoreFailed } from './refusals.ts'

/** SQLite's primary code for a full disk; the transaction is rolled back, and the database is as before. */
const SQLITE_FULL = 13

/**
 * Remembers the first failed write or sync until the process ends. SQLite does not: its next commit after a
 * failed fsync succeeds, because the operating system reports an error once and then treats the lost pages as
 * written. A full disk is not latched: it is refused as DISK_FULL, and the next attempt may succeed.
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
   * Returns the error to throw when `error` happens during `what`. Latches it, unless the disk was only full.
   */
  classify(what: string, error: unknown): Error {
    if (this.#failure !== null) return this.#failure
    if (isDiskFull(error)) {
      return new GatherdError(
        'DISK_FULL',
        'the disk is full: nothing was changed; free some space, and updates are accepted again',
        {
          cause: error,
        },
      )
    }
    return this.latch(what, error)
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

/** Whether an error of SQLite or of the operating system says that no space, or no quota, is left. */
export const isDiskFull = (error: unknown): boolean => {
  const { errcode, code } = error as { errcode?: number; code?: string }
  return errcode === SQLITE_FULL || isDiskFullCode(code)
}
