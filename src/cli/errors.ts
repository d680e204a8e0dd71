/** The command line asks for something that there is not. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** A call that failed: what the service said (`status` and `code` of the problem), or what the system said of the connection. */
export class CallError extends Error {
  override readonly name = 'CallError'
  /** null: there was no answer. */
  readonly status: number | null
  readonly code: string
  /** What Retry-After asked for. */
  readonly waitMs: number | undefined

  constructor(
    message: string,
    status: number | null,
    code: string,
    extra: { waitMs?: number; cause?: unknown } = {},
  ) {
    // One line, whatever the other side sent, and nothing in it that moves a terminal's cursor.
    super(message.replaceAll(/[\s\p{Cc}]+/gu, ' '), { cause: extra.cause })
    this.status = status
    this.code = code
    this.waitMs = extra.waitMs
  }
}
