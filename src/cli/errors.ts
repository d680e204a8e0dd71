/** The errors that a command reports as one line on standard error. */
/** The command line is wrong. The command exits with code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/**
 * A call failed. The service refused it (`status` and `code` are those of its problem document), or the
 * connection failed.
 */
export class CallError extends Error {
  override readonly name = 'CallError'
  /** null when there was no response. */
  readonly status: number | null
  readonly code: string
  /** The time that Retry-After asked for. */
  readonly waitMs: number | undefined

  constructor(
    message: string,
    status: number | null,
    code: string,
    extra: { waitMs?: number; cause?: unknown } = {},
  ) {
    // The message stays on one line and moves no cursor, whatever the service or a proxy sent.
    super(message.replaceAll(/[\s\p{Cc}]+/gu, ' '), { cause: extra.cause })
    this.status = status
    this.code = code
    this.waitMs = extra.waitMs
  }
}
