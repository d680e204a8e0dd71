/**
 * Parses and checks the headers that make a request conditional: `If-Match` and `If-None-Match` on the state
 * of the table, `X-Request-Timeout-Ms` on the time, `Idempotency-Key` on earlier requests.
 */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { refuse } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { Precondition } from '../core/types.ts'
import { formatNames } from '../formats/format.ts'
import { quoteText } from '../formats/scanner.ts'
import { checkPrecondition, type TableState } from '../tables/precondition.ts'

/** The header fields of a precondition. Node joins repeated ones by a comma. */
export interface ConditionHeaders {
  'if-match'?: string
  'if-none-match'?: string
}

/** Reads the precondition of a request. Refuses INVALID_REQUEST as {@link parseEntityTags}. */
export const parsePrecondition = (headers: ConditionHeaders): Precondition => {
  const precondition: Precondition = {}
  if (headers['if-match'] !== undefined) {
    const tags = parseEntityTags('If-Match', headers['if-match'])
    precondition.ifMatch = tags
      .filter(({ isWeak, tag }) => !isWeak && isOfKnownFormat(tag))
      .map(({ tag }) => tag)
  }
  if (headers['if-none-match'] !== undefined)
    precondition.ifNoneMatch = parseEntityTags('If-None-Match', headers['if-none-match']).map(
      ({ tag }) => tag,
    )
  return precondition
}

/** An entity tag of a header, without quotes; `*` for the wildcard. */
export interface ListedTag {
  tag: string
  /** Whether it has `W/`, as proxies write that change the bytes of an answer. */
  isWeak: boolean
}

const ENTITY_TAG = String.raw`[ \t]*(?:(W\/)?"([\x21\x23-\x7e\x80-\xff]*)"[ \t]*)?(?:,|$)`

/**
 * Reads the entity tags of an If-Match or If-None-Match header. `If-Match` compares strongly, so that a weak
 * tag matches nothing there; `If-None-Match` compares weakly (RFC 9110, 13.1). Empty elements of the list are
 * ignored. Refuses INVALID_REQUEST for a header that lists no entity tags.
 */
export const parseEntityTags = (name: string, header: string): ListedTag[] => {
  if (header.trim() === '*') return [{ tag: '*', isWeak: false }]
  const tags: ListedTag[] = []
  let count = 0
  const pattern = new RegExp(ENTITY_TAG, 'y')
  while (pattern.lastIndex < header.length) {
    const match = pattern.exec(header)
    if (match === null) return refuseTags(name, header)
    if (match[2] === undefined) continue
    count++
    // A star in quotes is not the wildcard, and no table has that tag.
    if (match[2] !== '*') tags.push({ tag: match[2], isWeak: match[1] !== undefined })
  }
  return count === 0 ? refuseTags(name, header) : tags
}

const refuseTags = (name: string, header: string): never =>
  refuse(
    'INVALID_REQUEST',
    `${name} must be * or tags in quotes with commas between, it is ${quoteText(header)}`,
  )

/** Whether a tag names no format of files, or one that there is. */
const isOfKnownFormat = (tag: string): boolean => {
  const format = /^[0-9]+-[0-9]+\.([a-z]+)/.exec(tag)?.[1]
  return format === undefined || formatNames().some((name) => name === format)
}

/**
 * Whether the client already has what has the entity tag `tag`, according to its `If-None-Match`; the answer
 * is then 304. Refuses PRECONDITION_FAILED when its `If-Match` does not hold.
 */
export const isNotModified = (
  { ifMatch, ifNoneMatch }: Precondition,
  state: TableState,
  tag: string,
): boolean => {
  if (ifMatch !== undefined) checkPrecondition({ ifMatch }, state)
  return ifNoneMatch !== undefined && ifNoneMatch.some((wanted) => wanted === '*' || wanted === tag)
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
