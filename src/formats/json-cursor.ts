/** The cursor that the readers of a JSON body share, and the errors that they raise at it. */
import { Buffer, isUtf8 } from 'node:buffer'
import { assert } from '../core/assert.ts'
import { refuse } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { createNumberScanner } from '../kernels/parse-numbers.ts'
import type { NumberScanner } from '../kernels/parse-numbers.ts'
import { nameContent } from './first-bytes.ts'

const COMMA = 0x2c

/**
 * A place in a JSON body. `bytes` holds a copy of the body followed by a zero byte, which valid JSON never
 * contains: a loop that checks each byte stops there and needs no other check for the end.
 */
export interface JsonCursor {
  readonly bytes: Uint8Array
  /** The same bytes as a Buffer, which decodes text. */
  readonly buffer: Buffer
  /** Reads the numbers in `bytes`. */
  readonly scanner: NumberScanner
  /** The length of the body, which is also the place of the zero byte. */
  readonly end: number
  /** The depth to which objects and lists may nest. */
  readonly depthMax: number
  at: number
}

const BODY_BYTES_MAX = Math.max(
  LIMITS.lookupBodyBytesMax,
  LIMITS.updateBodyBytesMax,
  LIMITS.specificationBodyBytesMax,
)

/** Every body of a thread reuses this memory: reading is synchronous, and no result is a view of it. */
let workspace: { scanner: NumberScanner; buffer: Buffer } | undefined

const takeWorkspace = (): { scanner: NumberScanner; buffer: Buffer } => {
  if (workspace === undefined) {
    const scanner = createNumberScanner(BODY_BYTES_MAX)
    const { buffer, byteOffset, byteLength } = scanner.text
    workspace = { scanner, buffer: Buffer.from(buffer, byteOffset, byteLength) }
  }
  return workspace
}

/**
 * Opens a cursor, valid until the next one is opened. Refuses MALFORMED_BODY for a body that is not UTF-8.
 */
export const openCursor = (body: Uint8Array, depthMax: number): JsonCursor => {
  assert(body.length <= BODY_BYTES_MAX, 'JSON bodies are bounded before they are read')
  const { scanner, buffer } = takeWorkspace()
  const bytes = scanner.text
  // set() copies into shared memory byte by byte unless both sides are aligned alike.
  Buffer.from(body.buffer, body.byteOffset, body.length).copy(buffer)
  bytes[body.length] = 0
  if (!isUtf8(body)) {
    refuseContent(body)
    refuse('MALFORMED_BODY', `the body: not UTF-8 at byte ${findUtf8End(body)}`)
  }
  return { bytes, buffer, scanner, end: body.length, depthMax, at: 0 }
}

/** Finds the length of the longest prefix that is UTF-8, by bisection. */
const findUtf8End = (body: Uint8Array): number => {
  let valid = 0
  for (let step = body.length; step >= 1; step = Math.floor(step / 2)) {
    for (let next: number | undefined = valid; next !== undefined; ) {
      valid = next
      // A step may end within a character, up to three bytes after its first.
      const stops = [valid + step, valid + step - 1, valid + step - 2, valid + step - 3]
      next = stops.find((stop) => stop > valid && stop <= body.length && isUtf8(body.subarray(valid, stop)))
    }
  }
  return valid
}

const describeByte = (cursor: JsonCursor, at: number): string => {
  if (at >= cursor.end) return 'its end'
  const byte = cursor.bytes[at]
  return byte > 0x20 && byte < 0x7f
    ? `'${String.fromCharCode(byte)}'`
    : `the byte 0x${byte.toString(16).padStart(2, '0')}`
}

/** Slips that writers of JSON make, by the byte at which they show. */
const SLIPS: Readonly<Record<string, string>> = {
  "'": 'JSON has double quotes only; json.dumps writes them',
  N: 'JSON has no NaN: send null where it is allowed, or a binary format',
  I: 'JSON has no infinity: send a binary format',
  T: 'true is lower case in JSON',
  F: 'false is lower case in JSON',
  '/': 'JSON has no comments',
  '}': 'JSON has no comma at the end',
  ']': 'JSON has no comma at the end',
}

/** What follows a comma that ends a list or object is one of these. */
const AFTER_COMMA = new Set(['a value', 'the name of a member'])

const explainSlip = ({ bytes }: JsonCursor, at: number, expected: string): string => {
  const found = String.fromCharCode(bytes[at])
  if (expected === 'nothing more' && '{['.includes(found))
    return '; of several JSON values, as in NDJSON, send each in a request of its own'
  const isClosing = found === '}' || found === ']'
  const isSlip =
    Object.hasOwn(SLIPS, found) && (AFTER_COMMA.has(expected) || (found === 'I' && expected === 'a digit'))
  if (!isSlip) return ''
  let before = at - 1
  while (before > 0 && bytes[before] <= 0x20) before -= 1
  return isClosing && bytes[before] !== COMMA ? '' : `; ${SLIPS[found]}`
}

/** Refuses (MALFORMED_BODY) a body that begins as something known that is not JSON; returns for others. */
const refuseContent = (body: Uint8Array): void => {
  const content = nameContent(body)
  if (content !== undefined) refuse('MALFORMED_BODY', `the body is not JSON: ${content}`)
}

/** Only an error so near to the beginning may mean that the whole body is something else. */
const BEGINNING_BYTES = 4

/**
 * Refuses (MALFORMED_BODY) the byte at `at`. The message names it, what was expected, and the cause if it is
 * a known one.
 */
export const refuseByte = (cursor: JsonCursor, at: number, expected: string): never => {
  if (at < BEGINNING_BYTES) refuseContent(cursor.bytes.subarray(0, cursor.end))
  return refuse(
    'MALFORMED_BODY',
    `the body: expected ${expected} at byte ${at}, found ${describeByte(cursor, at)}` +
      (at < cursor.end ? explainSlip(cursor, at, expected) : ''),
  )
}

/** Returns the place of the first byte from `at` on that is not white space. */
export const skipSpace = (bytes: Uint8Array, at: number): number => {
  let byte = bytes[at]
  while (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) byte = bytes[++at]
  return at
}
