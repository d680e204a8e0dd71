/** Reads, prints and checks the sha-256 of a body in the header Content-Digest (RFC 9530). */
import { hash } from 'node:crypto'
import { refuse } from '../core/errors.ts'
import { quoteText } from './scanner.ts'

/*
 * The header is a dictionary of structured fields (RFC 9651): `sha-256=:<base64>:,
 * sha-512=:<base64>:;parameter=1`. Each pattern is sticky, so it is tried at one place only, and it has one
 * way to match: reading takes linear time.
 */
const KEY = /[a-z*][a-z0-9_.*-]*/y
const BARE_ITEM = new RegExp(
  [
    ':[A-Za-z0-9+/]*={0,2}:', // byte sequence
    '@?-?[0-9]{1,15}(?:\\.[0-9]{1,3})?', // number, date
    '%?"(?:[\\x20-\\x21\\x23-\\x5b\\x5d-\\x7e]|\\\\["\\\\])*"', // string
    "[A-Za-z*][A-Za-z0-9!#$%&'*+.^_`|~:/-]*", // token
    '\\?[01]', // boolean
  ].join('|'),
  'y',
)
const SPACES = / */y
const EQUALS = /=/y
const PARAMETER_START = /; */y
const COMMA = /[ \t]*,[ \t]*/y
const SHA256_BYTES = 32

/**
 * Reads the sha-256 that a Content-Digest header announces, 32 bytes. Other algorithms are ignored: without
 * sha-256 the result is undefined. The last of equal algorithms counts (RFC 9651, 3.2). Refuses
 * INVALID_REQUEST for a malformed header.
 */
export const parseContentDigest = (header: string): Uint8Array | undefined => {
  let at = 0
  const take = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at
    const token = pattern.exec(header)?.[0]
    at += token?.length ?? 0
    return token
  }
  const takeKey = (): string => take(KEY) ?? refuseHeader(header)
  const takeValue = (): string | undefined =>
    take(EQUALS) === undefined ? undefined : (take(BARE_ITEM) ?? refuseHeader(header))
  let digest: Uint8Array | undefined
  take(SPACES)
  if (at === header.length) return undefined
  do {
    const algorithm = takeKey()
    const value = takeValue()
    if (algorithm === 'sha-256') digest = decodeDigest(value, header)
    while (take(PARAMETER_START) !== undefined) {
      takeKey()
      takeValue()
    }
  } while (take(COMMA) !== undefined)
  take(SPACES)
  return at === header.length ? digest : refuseHeader(header)
}

/** Prints a sha-256 for a Content-Digest header. */
export const formatContentDigest = (digest: Uint8Array): string =>
  `sha-256=:${Buffer.from(digest).toString('base64')}:`

/**
 * Refuses DIGEST_MISMATCH unless `what` (a body, a part) has the announced sha-256. Nothing is compared when
 * none was announced (undefined) or the bytes were not hashed (null).
 */
export const checkDigest = (
  what: string,
  actual: Uint8Array | null,
  expected: Uint8Array | undefined,
): void => {
  if (actual === null || expected === undefined || Buffer.compare(actual, expected) === 0) return
  const [actualText, expectedText] = [actual, expected].map((digest) =>
    Buffer.from(digest).toString('base64'),
  )
  refuse('DIGEST_MISMATCH', `the ${what} has the sha-256 ${actualText}; the announced one is ${expectedText}`)
}

/** Does the same for a body that is in memory as a whole. */
export const checkBodyDigest = (body: Uint8Array, expected: Uint8Array | undefined): void => {
  if (expected !== undefined) checkDigest('body', hash('sha256', body, 'buffer'), expected)
}

const decodeDigest = (item: string | undefined, header: string): Uint8Array => {
  if (item === undefined || !item.startsWith(':')) return refuseHeader(header)
  const digest = new Uint8Array(Buffer.from(item.slice(1, -1), 'base64'))
  return digest.length === SHA256_BYTES ? digest : refuseHeader(header)
}

const refuseHeader = (header: string): never =>
  refuse(
    'INVALID_REQUEST',
    `Content-Digest must be like sha-256=:<base64 of ${SHA256_BYTES} bytes>:, it is ${quoteText(header)}`,
  )
