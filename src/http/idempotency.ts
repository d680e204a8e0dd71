import { createHash } from 'node:crypto'
import { refuse } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { UpdateKey } from '../writer/protocol.ts'

/** Visible ASCII that does not begin with a quote. */
const BARE = /^[\x21\x23-\x7e][\x21-\x7e]*$/
/** A string of RFC 8941, without spaces: quote and backslash come after a backslash. */
const QUOTED = /^"((?:[\x21\x23-\x5b\x5d-\x7e]|\\["\\])+)"$/

/**
 * The key of an `Idempotency-Key` header, bare or in double quotes, which are no part of it; undefined without one. Refuses INVALID_REQUEST for
 * anything else: two headers too, which Node joins by a comma and a space.
 */
export const parseIdempotencyKey = (header: string | string[] | undefined): string | undefined => {
  if (header === undefined) return undefined
  const text = String(header)
  const key = BARE.test(text) ? text : QUOTED.exec(text)?.[1].replaceAll(/\\(.)/g, '$1')
  if (!Array.isArray(header) && key !== undefined && key.length <= LIMITS.idempotencyKeyLengthMax) return key
  return refuse(
    'INVALID_REQUEST',
    `Idempotency-Key must be given once, as 1 to ${LIMITS.idempotencyKeyLengthMax} visible ASCII characters, bare or in double quotes`,
  )
}

/** `key` with what tells its request from another: SHA-256 of `meaning`, all that is asked beside the body, and of the body. */
export const bindKey = (
  key: string,
  meaning: readonly (string | number | undefined)[],
  body: Uint8Array,
): UpdateKey => {
  const hash = createHash('sha256')
    .update(`${JSON.stringify(meaning)}\n`)
    .update(body)
  return { key, request: new Uint8Array(hash.digest()) }
}
