/** Renders refusals as problem documents (RFC 9457). */
import { ERRORS, type ErrorCode, type ErrorPlace, GatherdError } from '../../core/errors.ts'
import { LIMITS } from '../../core/limits.ts'

export const PROBLEM_MEDIA_TYPE = 'application/problem+json'

/** The page that explains every code. The `type` of a problem is a place on it. */
export const ERRORS_PAGE = '/docs/errors'

const DETAIL_LENGTH_MAX = 1_000

/** An error answer (RFC 9457). */
export interface Problem {
  type: string
  title: string
  status: number
  code: ErrorCode
  detail: string
  /** The request id, as in the log. */
  instance: string
  errors?: ErrorPlace[]
  retryable: boolean
}

/** A problem ready to be sent, by Fastify or straight to a socket. */
export interface RenderedProblem {
  status: number
  headers: Record<string, string>
  body: string
}

/** A refusal whose status is one of HTTP's own (408, 414, 431) and not that of its code. */
export class HttpRefusal extends GatherdError {
  readonly #httpStatus: number

  constructor(httpStatus: number, code: ErrorCode, detail: string) {
    super(code, detail)
    this.#httpStatus = httpStatus
  }

  override get status(): number {
    return this.#httpStatus
  }
}

/** The problem document of a refusal. Of the places, the first `errorPlacesMax` are shown. */
const toProblem = (error: GatherdError, requestId: string): Problem => {
  const { code } = error
  const { title, retryable } = ERRORS[code]
  const problem: Problem = {
    type: `${ERRORS_PAGE}#${code}`,
    title,
    status: error.status,
    code,
    detail: cutText(error.message),
    instance: requestId,
    retryable,
  }
  if (error.errors !== undefined && error.errors.length > 0)
    problem.errors = error.errors.slice(0, LIMITS.errorPlacesMax)
  return problem
}

/** Renders status, headers and body of a refusal. 429 and 503 always have Retry-After. */
export const renderProblem = (error: GatherdError, requestId: string): RenderedProblem => {
  const { status } = error
  const headers: Record<string, string> = {
    'content-type': PROBLEM_MEDIA_TYPE,
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    'x-request-id': requestId,
  }
  if (status === 429 || status === 503) headers['retry-after'] = '1'
  for (const [name, value] of Object.entries(error.headers ?? {})) headers[name.toLowerCase()] = value
  return { status, headers, body: JSON.stringify(toProblem(error, requestId)) }
}

const cutText = (text: string): string =>
  text.length > DETAIL_LENGTH_MAX ? `${text.slice(0, DETAIL_LENGTH_MAX)}...` : text
