import type { ErrorCode } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { Health } from './context.ts'

/**
 * Admission decides whether a request gets as far as its route. It is one pure function over plain data,
 * called by the fast path and by Fastify's first hook, so that a request has the same fate on both.
 */

/** The facts of a request's head that admission looks at. The fast path keeps them with a known head. */
export interface HeadFacts {
  /** Length of the request target. */
  urlBytes: number
  headerCount: number
  /** False for a request of HTTP/1.1 without a Host header. */
  hasHost: boolean
  /** Whether the request is answered from tables, and so has to wait until they are loaded. */
  needsTables: boolean
}

/** A reason to refuse a request by its head. */
export type Refusal = 'headersTooMany' | 'urlTooLong' | 'hostMissing' | 'tablesLoading'

/**
 * The answer that each reason gets. `status` is set where HTTP has one beside that of the code; a detail
 * that is absent is the reason that the service gives for its state.
 */
export const REFUSALS: Readonly<Record<Refusal, { code: ErrorCode; detail?: string; status?: number }>> = {
  headersTooMany: {
    code: 'INVALID_REQUEST',
    status: 431,
    detail: `a request has at most ${LIMITS.headerCountMax} headers`,
  },
  urlTooLong: {
    code: 'INVALID_REQUEST',
    status: 414,
    detail: `the URL has at most ${LIMITS.urlBytesMax} bytes`,
  },
  hostMissing: { code: 'INVALID_REQUEST', detail: 'the Host header is missing' },
  tablesLoading: { code: 'NOT_READY' },
}

/** Why a request with this head is refused while the service is in this state; null: it is admitted. */
export const admit = (head: HeadFacts, state: Health['state']): Refusal | null => {
  if (head.headerCount > LIMITS.headerCountMax) return 'headersTooMany'
  if (head.urlBytes > LIMITS.urlBytesMax) return 'urlTooLong'
  if (!head.hasHost) return 'hostMissing'
  if (state === 'loading' && head.needsTables) return 'tablesLoading'
  return null
}

/** Whether the answer to an admitted request ends its connection, because the service is shutting down. */
export const isLastOfConnection = (state: Health['state']): boolean => state === 'draining'
