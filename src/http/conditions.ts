/**
 * Parses and checks the headers that make a request conditional: `If-Match` and `If-None-Match` on the state
 * of the table, `X-Request-Timeout-Ms` on the time, `Idempotency-Key` on earlier requests.
 */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { refuse } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { Precondition } from '../core/types.ts'
import { quoteText } from '../formats/scanner.ts'
import { checkPrecondition, entityTag } from '../tables/precondition.ts'

/** The header fields of a precondition. Node joins repeated ones by a comma. */
export interface ConditionHeaders {
  'if-match'?: string
  'if-none-match'?: string
}

/** Reads the precondition of a request. Refuses INVALID_REQUEST as {@link parseEntityTags}. */
export const parsePrecondition = (headers: ConditionHeaders): Precondition => {
  const precondition: Precondition = {}
  if (headers['if-match'] !== undefined)
    precondition.ifMatch = parseEntityTags('If-Match', headers['if-match'])
  if (headers['if-none-match'] !== undefined)
    precondition.ifNoneMatch = parseEntityTags('If-None-Match', headers['if-none-match'])
  return precondition
}

const ENTITY_TAG = String.raw`[ \t]*(W\/)?"([\x21\x23-\x7e\x80-\xff]*)"[ \t]*(?:,|$)`

/**
 * Reads the strong entity tags of an If-Match or If-None-Match header, without quotes; `['*']` for `*`. Weak
 * tags are left out, because nothing here matches them. Refuses INVALID_REQUEST for a header that lists no
 * entity tags.
 */
export const parseEntityTags = (name: string, header: string): string[] => {
  if (header.trim() === '*') return ['*']
  const tags: string[] = []
  const pattern = new RegExp(ENTITY_TAG, 'y')
  while (pattern.lastIndex < header.length || header.length === 0) {
    const match = pattern.exec(header)
    if (match === null)
      return refuse(
        'INVALID_REQUEST',
        `${name} must be * or tags in quotes with commas between, it is ${quoteText(header)}`,
      )
    // A star in quotes is not the wildcard, and no table has that tag.
    if (match[1] === undefined && match[2] !== '*') tags.push(match[2])
  }
  return tags
}

/**
 * Whether the client already has this state, according to its `If-None-Match`; the answer is then 304.
 * Refuses PRECONDITION_FAILED when its `If-Match` does not hold.
 */
export const isNotModified = (
  { ifMatch, ifNoneMatch }: Precondition,
  version: number,
  sequence: number,
): boolean => {
  if (ifMatch !== undefined) checkPrecondition({ ifMatch }, { version, sequence })
  return (
    ifNoneMatch !== undefined &&
    ifNoneMatch.some((tag) => tag === '*' || tag === entityTag(version, sequence))
  )
}

/** Refuses DEADLINE_EXCEEDED when `X-Request-Timeout-Ms` has passed: the client no longer waits. */
export const checkDeadline = ({ deadlineAt }: FastifyRequest): void => {
  if (deadlineAt !== undefined && Date.now() >= deadlineAt) {
    refuse('DEADLINE_EXCEEDED', 'X-Request-Timeout-Ms had passed before the work could begin')
  }
}

/** Refuses DEADLINE_EXCEEDED when the client has gone. Nobody reads that, but the work ends with it. */
export const checkConnected = ({ raw }: FastifyReply): void => {
  if (raw.destroyed) refuse('DEADLINE_EXCEEDED', 'the client has closed the connection')
}

declare module 'fastify' {
  interface FastifyRequest {
    /**
     * The time when the client stops waiting, in milliseconds since 1970. It is set on arrival if the client
     * names a timeout.
     */
    deadlineAt?: number
  }
}

/** A bare key: visible ASCII that does not begin with a quote. */
const BARE_KEY = /^[\x21\x23-\x7e][\x21-\x7e]*$/
/** A key as a string of RFC 8941, without spaces: a backslash escapes quote and backslash. */
const QUOTED_KEY = /^"((?:[\x21\x23-\x5b\x5d-\x7e]|\\["\\])+)"$/

/**
 * Reads the key of an `Idempotency-Key` header, which is bare or in double quotes; undefined without the
 * header. Refuses INVALID_REQUEST for any other text, and for two headers, which Node joins by a comma and a
 * space.
 */
export const parseIdempotencyKey = (header: string | string[] | undefined): string | undefined => {
  if (header === undefined) return undefined
  const text = String(header)
  const key = BARE_KEY.test(text) ? text : QUOTED_KEY.exec(text)?.[1].replaceAll(/\\(.)/g, '$1')
  const lengthMax = LIMITS.idempotencyKeyLengthMax
  if (!Array.isArray(header) && key !== undefined && key.length <= lengthMax) return key
  return refuse(
    'INVALID_REQUEST',
    `Idempotency-Key must be given once, as 1 to ${lengthMax} visible ASCII characters, ` +
      'bare or in double quotes',
  )
}
