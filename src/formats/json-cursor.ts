import { Buffer, isUtf8 } from 'node:buffer'
import { refuse } from '../core/errors.ts'

/**
 * A place in a JSON body. `bytes` is a private copy of the body and ends with a zero byte, which no JSON holds: a scanner that looks at each byte
 * before it goes on stops there and needs no other check of the end.
 */
export interface JsonCursor {
  readonly bytes: Uint8Array
  /** The same bytes, for cutting out text. */
  readonly buffer: Buffer
  /** Length of the body, where the zero byte is. */
  readonly end: number
  /** Objects and arrays within each other. */
  readonly depthMax: number
  at: number
}

/** Copies up to this size go to one buffer that is used again. */
const SCRATCH_BYTES_MAX = 2 * 1024 * 1024

const createScratch = (byteLength: number): { bytes: Uint8Array; buffer: Buffer } => {
  const memory = new ArrayBuffer(byteLength)
  return { bytes: new Uint8Array(memory), buffer: Buffer.from(memory) }
}
let scratch = createScratch(64 * 1024)

const takeScratch = (byteLength: number): { bytes: Uint8Array; buffer: Buffer } => {
  if (byteLength <= scratch.bytes.length) return scratch
  const larger = createScratch(Math.max(byteLength, Math.min(scratch.bytes.length * 2, SCRATCH_BYTES_MAX)))
  if (byteLength <= SCRATCH_BYTES_MAX) scratch = larger
  return larger
}

/** A cursor at the first byte. It is good until the next one is opened: nothing may keep views of its bytes. */
export const openCursor = (body: Uint8Array, depthMax: number): JsonCursor => {
  const { bytes, buffer } = takeScratch(body.length + 1)
  bytes.set(body)
  bytes[body.length] = 0
  if (!isUtf8(body)) refuseUtf8(bytes, body.length)
  return { bytes, buffer, end: body.length, depthMax, at: 0 }
}

/** The first byte that is not part of UTF-8 is where the longest prefix in UTF-8 ends: a search by halves, in characters. */
const refuseUtf8 = (bytes: Uint8Array, end: number): never => {
  let valid = 0
  let step = end
  while (step >= 1) {
    const next = Math.min(valid + step, end)
    // A prefix may end within a character: then one of the next three bytes completes it.
    const whole = [next, next - 1, next - 2, next - 3].find((stop) => stop > valid && isUtf8(bytes.subarray(valid, stop)))
    if (whole === undefined) step = Math.floor(step / 2)
    else valid = whole
  }
  return refuse('MALFORMED_BODY', `the body: byte ${valid} is not UTF-8`)
}

const describeByte = (cursor: JsonCursor, at: number): string => {
  if (at >= cursor.end) return 'its end'
  const byte = cursor.bytes[at]
  return byte > 0x20 && byte < 0x7f ? `'${String.fromCharCode(byte)}'` : `the byte 0x${byte.toString(16).padStart(2, '0')}`
}

/** Refuses (MALFORMED_BODY) with what was expected at byte `at`, and what is there. */
export const refuseByte = (cursor: JsonCursor, at: number, expected: string): never =>
  refuse('MALFORMED_BODY', `the body: expected ${expected} at byte ${at}, found ${describeByte(cursor, at)}`)

/** The place of the first byte from `at` on that is not white space. */
export const skipSpace = (bytes: Uint8Array, at: number): number => {
  let byte = bytes[at]
  while (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) byte = bytes[++at]
  return at
}
