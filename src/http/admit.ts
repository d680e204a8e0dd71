/**
 * Decides whether a request gets as far as its route. Admission is one pure function over plain data, called
 * by the fast path and by Fastify's first hook, so that both treat a request alike.
 */
import type { HttpSettings } from '../config.ts'
import type { ErrorCode } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { Health } from './context.ts'
import type { HeadFlaw } from './head-facts.ts'

/** The facts of a request's head that admission depends on. The fast path stores them with a known head. */
export interface HeadFacts {
  /** Length of the request target. */
  urlBytes: number
  headerCount: number
  /** What else is wrong with the head; null for nothing. */
  flaw: HeadFlaw | null
  /** Whether the answer needs tables, so that the request is refused until they are loaded. */
  needsTables: boolean
}

/** The facts of the service that admission looks at. The context of an HTTP worker has them. */
export interface ServiceFacts {
  readonly health: Readonly<Health>
  readonly settings: HttpSettings
}

/** A reason to refuse a request by its head. */
export type Refusal = 'headersTooMany' | 'urlTooLong' | HeadFlaw | 'tablesLoading' | 'stopping'

/**
 * The answer to each reason. `status` is set where HTTP has a more specific one than the code. Without a
 * `detail` the answer has the reason that the service gives for its state. `closes` says that what follows
 * the head cannot be trusted to be what it seems.
 */
export const REFUSALS: Readonly<
  Record<Refusal, { code: ErrorCode; detail?: string; status?: number; closes?: boolean }>
> = {
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
  hostRepeated: { code: 'INVALID_REQUEST', detail: 'the request has more than one Host header; send one' },
  hostMalformed: {
    code: 'INVALID_REQUEST',
    detail: 'the Host header is not a name or an address, with or without a port',
  },
  versionUnknown: {
    code: 'VERSION_NOT_SUPPORTED',
    detail: 'send HTTP/1.1; HTTP/2 and HTTP/3 need a proxy in front of this service',
    closes: true,
  },
  codingUnknown: {
    code: 'CODING_NOT_SUPPORTED',
    detail: 'the only Transfer-Encoding read here is chunked, once; send the body without other codings',
    closes: true,
  },
  expectationUnknown: {
    code: 'INVALID_REQUEST',
    status: 417,
    detail: 'the only Expect that is met here is 100-continue',
  },
  tablesLoading: { code: 'NOT_READY' },
  stopping: { code: 'SHUTTING_DOWN' },
}

/** Returns the reason to refuse a request with this head by a service like this; null admits it. */
export const admit = (head: HeadFacts, { health }: ServiceFacts): Refusal | null => {
  if (head.headerCount > LIMITS.headerCountMax) return 'headersTooMany'
  if (head.urlBytes > LIMITS.urlBytesMax) return 'urlTooLong'
  if (head.flaw !== null) return head.flaw
  if (!head.needsTables) return null
  if (health.state === 'loading') return 'tablesLoading'
  if (health.state === 'stopping') return 'stopping'
  return null
}

/** Whether the answer to an admitted request ends its connection, because the service is shutting down. */
export const isLastOfConnection = ({ health: { state } }: ServiceFacts): boolean =>
  state === 'draining' || state === 'stopping'
