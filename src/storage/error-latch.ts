import { GatherdError } from '../core/errors.ts'
import { isDiskFullCode } from '../system/disk.ts'
import { StoreFailed } from './refusals.ts'

/** SQLite's primary code for a full disk; the database is rolled back and as good as before. */
const SQLITE_FULL = 13

/**
 * Remembers the first failed write or sync of the durable path, for ever. SQLite does not: after a failed fsync its next
 * commit succeeds, since the system reports an error once and takes the lost pages for written.
 * A full disk is no such failure: it is refused as DISK_FULL, and the next attempt may succeed.
 */
export class ErrorLatch {
  #failure: StoreFailed | null = null

  /** Why nothing is acknowledged any more, or null. */
  get failure(): StoreFailed | null {
    return this.#failure
  }

  /** Throws StoreFailed once anything has failed. */
  check(): void {
    if (this.#failure !== null) throw this.#failure
  }

  /** What to throw for `error`, which came up while doing `what`. Latches unless the disk was just full. */
  classify(what: string, error: unknown): Error {
    if (this.#failure !== null) return this.#failure
    if (isDiskFull(error)) {
      return new GatherdError(
        'DISK_FULL',
        'the disk is full: nothing was changed, and updates go on when there is space again',
        {
          cause: error,
        },
      )
    }
    return this.latch(what, error)
  }

  /** Latches, whatever the error. */
  latch(what: string, error: unknown): StoreFailed {
    const { message, errcode } = error as { message?: string; errcode?: number }
    const reason = `${message ?? String(error)}${errcode === undefined ? '' : ` (SQLite ${errcode})`}`
    this.#failure ??= new StoreFailed(`${what} failed: ${reason}; updates are refused until a restart`, {
      cause: error,
    })
    return this.#failure
  }
}

/** No space left, or no quota: of SQLite or of the system. */
export const isDiskFull = (error: unknown): boolean => {
  const { errcode, code } = error as { errcode?: number; code?: string }
  return errcode === SQLITE_FULL || isDiskFullCode(code)
}
