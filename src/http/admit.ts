/**
 * Decides whether a request gets as far as its route. Admission is one pure function over plain data, called
 * by the fast path and by Fastify's first hook, so that both treat a request alike.
 */
import type { HttpSettings } from '../config.ts'
import type { ErrorCode } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { Health } from './context.ts'

/** The facts of a request's head that admission depends on. The fast path stores them with a known head. */
export interface HeadFacts {
  /** Length of the request target. */
  urlBytes: number
  headerCount: number
  /** Whether the Host header is present, which HTTP/1.1 requires; true for other versions. */
  hasHost: boolean
  /** Whether the answer needs tables, so that the request is refused until they are loaded. */
  needsTables: boolean
}

/** The facts of the service that admission looks at. The context of an HTTP worker has them. */
export interface ServiceFacts {
  readonly health: Readonly<Health>
  readonly settings: HttpSettings
}

/** A reason to refuse a request by its head. */
export type Refusal = 'headersTooMany' | 'urlTooLong' | 'hostMissing' | 'tablesLoading'

/**
 * The answer to each reason. `status` is set where HTTP has a more specific one than the code. Without a
 * `detail` the answer has the reason that the service gives for its state.
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
  hostMissing: { code: 'INVALID_REQUEST', detail: 'the Host header is missing; HTTP/1.1 requires it' },
  tablesLoading: { code: 'NOT_READY' },
}

/** Returns the reason to refuse a request with this head by a service like this; null admits it. */
export const admit = (head: HeadFacts, { health }: ServiceFacts): Refusal | null => {
  if (head.headerCount > LIMITS.headerCountMax) return 'headersTooMany'
  if (head.urlBytes > LIMITS.urlBytesMax) return 'urlTooLong'
  if (!head.hasHost) return 'hostMissing'
  if (health.state === 'loading' && head.needsTables) return 'tablesLoading'
  return null
}

/** Whether the answer to an admitted request ends its connection, because the service is shutting down. */
export const isLastOfConnection = ({ health }: ServiceFacts): boolean => health.state === 'draining'
