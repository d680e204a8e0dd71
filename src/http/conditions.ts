import type { FastifyRequest } from 'fastify'
import { refuse } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { Precondition } from '../core/types.ts'
import { quoteText } from '../formats/scanner.ts'
import { checkPrecondition, entityTag } from '../tables/precondition.ts'

/**
 * The headers by which a client makes its request depend on something: `If-Match` and `If-None-Match` on
 * the state of the table, `X-Request-Timeout-Ms` on the time, `Idempotency-Key` on what was done before.
 */

/** The header fields of a precondition. Node joins repeated ones by a comma. */
export interface ConditionHeaders {
  'if-match'?: string
  'if-none-match'?: string
}

/** The precondition that a request states. Refuses INVALID_REQUEST as {@link parseEntityTags}. */
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
 * The strong entity tags of an If-Match or If-None-Match, without quotes; `['*']` for `*`. Weak tags are
 * left out because they match nothing here. Refuses INVALID_REQUEST for a header that lists no entity tags.
 */
export const parseEntityTags = (name: string, header: string): string[] => {
  if (header.trim() === '*') return ['*']
  const tags: string[] = []
  const pattern = new RegExp(ENTITY_TAG, 'y')
  while (pattern.lastIndex < header.length || header.length === 0) {
    const found = pattern.exec(header)
    if (found === null)
      return refuse(
        'INVALID_REQUEST',
        `${name} must be * or tags in quotes with commas between, it is ${quoteText(header)}`,
      )
    // A star in quotes is not the wildcard, and no table has that tag.
    if (found[1] === undefined && found[2] !== '*') tags.push(found[2])
  }
  return tags
}

/**
 * Whether the client has this state already, by its `If-None-Match`: then the answer is 304. Refuses
 * PRECONDITION_FAILED when its `If-Match` does not hold.
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

declare module 'fastify' {
  interface FastifyRequest {
    /** When the client stops waiting, in milliseconds since 1970; set on arrival if the client says so. */
    deadlineAt?: number
  }
}

/** A bare key: visible ASCII that does not begin with a quote. */
const BARE_KEY = /^[\x21\x23-\x7e][\x21-\x7e]*$/
/** A key as a string of RFC 8941, without spaces: a backslash escapes quote and backslash. */
const QUOTED_KEY = /^"((?:[\x21\x23-\x5b\x5d-\x7e]|\\["\\])+)"$/

/**
 * The key of an `Idempotency-Key` header, bare or in double quotes, which are not part of it; undefined
 * without the header. Refuses INVALID_REQUEST for any other text, and for two headers, which Node joins by
 * a comma and a space.
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
