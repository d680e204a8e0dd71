/**
 * The one table of error codes, with HTTP status and title. Tests compare `docs/reference/errors.md` and the
 * OpenAPI document with it. `retryable` says that the same request, unchanged, may succeed later.
 */
export const ERRORS = {
  MALFORMED_BODY: { status: 400, title: 'The body cannot be read as what it says it is', retryable: false },
  INVALID_REQUEST: { status: 400, title: 'The request does not fit the schema', retryable: false },
  UNAUTHENTICATED: { status: 401, title: 'A key is needed', retryable: false },
  FORBIDDEN: { status: 403, title: 'The key does not allow this', retryable: false },
  TABLE_NOT_FOUND: { status: 404, title: 'No such table', retryable: false },
  VERSION_NOT_FOUND: { status: 404, title: 'The table has no such version', retryable: false },
  ALIAS_NOT_FOUND: { status: 404, title: 'No such alias', retryable: false },
  UPLOAD_NOT_FOUND: { status: 404, title: 'No such upload', retryable: false },
  ROUTE_NOT_FOUND: { status: 404, title: 'No such route', retryable: false },
  METHOD_NOT_ALLOWED: { status: 405, title: 'The route has no such method', retryable: false },
  NOT_ACCEPTABLE: { status: 406, title: 'No acceptable response type', retryable: false },
  IDEMPOTENCY_IN_FLIGHT: {
    status: 409,
    title: 'The first request with this key is still running',
    retryable: true,
  },
  PRECONDITION_FAILED: {
    status: 412,
    title: 'The table is not in the state the request asks for',
    retryable: false,
  },
  BODY_TOO_LARGE: { status: 413, title: 'The body is too large', retryable: false },
  BATCH_TOO_LARGE: { status: 413, title: 'The batch is too large', retryable: false },
  UNSUPPORTED_MEDIA_TYPE: {
    status: 415,
    title: 'The body has a type or encoding that is not read here',
    retryable: false,
  },
  INDEX_OUT_OF_RANGE: { status: 422, title: 'An index is outside the table', retryable: false },
  SHAPE_MISMATCH: { status: 422, title: 'Shapes do not fit', retryable: false },
  DTYPE_MISMATCH: { status: 422, title: 'The dtype does not fit', retryable: false },
  NON_FINITE: { status: 422, title: 'A value is not finite', retryable: false },
  DIGEST_MISMATCH: { status: 422, title: 'The bytes do not have the announced digest', retryable: false },
  IDEMPOTENCY_MISMATCH: { status: 422, title: 'The key was used for another request', retryable: false },
  RATE_LIMITED: { status: 429, title: 'Too many requests of this client', retryable: true },
  CODING_NOT_SUPPORTED: { status: 501, title: 'The transfer coding is not supported', retryable: false },
  VERSION_NOT_SUPPORTED: { status: 505, title: 'The HTTP version is not supported', retryable: false },
  INTERNAL: { status: 500, title: 'Internal server error', retryable: false },
  OVERLOADED: { status: 503, title: 'Too much work in flight', retryable: true },
  NOT_READY: { status: 503, title: 'Not ready', retryable: true },
  SHUTTING_DOWN: { status: 503, title: 'Shutting down', retryable: true },
  DEADLINE_EXCEEDED: { status: 504, title: 'The deadline of the client has passed', retryable: true },
  MEMORY_QUOTA_EXCEEDED: { status: 507, title: 'The memory quota does not allow it', retryable: false },
  DISK_FULL: { status: 507, title: 'The disk is full', retryable: false },
} as const satisfies Record<string, { status: number; title: string; retryable: boolean }>

export type ErrorCode = keyof typeof ERRORS

/** One wrong place in a request: an RFC 6901 pointer into the body, and what is wrong there. */
export interface ErrorPlace {
  pointer: string
  detail: string
}

export interface ErrorExtra {
  /** The response lists the first `LIMITS.errorPlacesMax` of them. */
  errors?: ErrorPlace[]
  /** Response headers that the status requires (`Allow`, `Retry-After`). */
  headers?: Record<string, string>
  cause?: unknown
}

/**
 * A refusal: the request, or the state of the service, makes the operation impossible. It carries a code of
 * {@link ERRORS}.
 */
export class GatherdError extends Error {
  override readonly name = 'GatherdError'
  readonly code: ErrorCode
  readonly errors: ErrorPlace[] | undefined
  readonly headers: Record<string, string> | undefined

  constructor(code: ErrorCode, detail: string, extra: ErrorExtra = {}) {
    super(detail, extra.cause === undefined ? undefined : { cause: extra.cause })
    this.code = code
    this.errors = extra.errors
    this.headers = extra.headers
  }

  get status(): number {
    return ERRORS[this.code].status
  }
}

/**
 * Throws the refusal `code`. The client reads `detail`: it says what is wrong and where, without internal
 * names.
 */
export function refuse(code: ErrorCode, detail: string, extra?: ErrorExtra): never {
  throw new GatherdError(code, detail, extra)
}

/** A refusal as plain data, in which form it crosses threads. */
export interface ErrorMessage {
  code: ErrorCode
  detail: string
  errors?: ErrorPlace[]
  headers?: Record<string, string>
}

/**
 * Turns any error into a message for another thread. An error that is no refusal becomes INTERNAL and keeps
 * its stack for the log.
 */
export const toMessage = (error: unknown): ErrorMessage =>
  error instanceof GatherdError
    ? { code: error.code, detail: error.message, errors: error.errors, headers: error.headers }
    : { code: 'INTERNAL', detail: error instanceof Error ? (error.stack ?? error.message) : String(error) }

/** Turns a message from another thread back into the error that was thrown there. */
export const fromMessage = (message: ErrorMessage): Error =>
  message.code === 'INTERNAL'
    ? new Error(message.detail)
    : new GatherdError(message.code, message.detail, { errors: message.errors, headers: message.headers })
