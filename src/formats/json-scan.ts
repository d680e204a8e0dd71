/** Scans the grammar of JSON over the bytes of a body: values, numbers, objects and lists. */
import { refuse } from '../core/errors.ts'
import { refuseByte, skipSpace } from './json-cursor.ts'
import type { JsonCursor } from './json-cursor.ts'
import { quoteText } from './scanner.ts'

const QUOTE = 0x22
const PLUS = 0x2b
const COMMA = 0x2c
const MINUS = 0x2d
const POINT = 0x2e
const ZERO = 0x30
const COLON = 0x3a
const OPEN_LIST = 0x5b
const BACKSLASH = 0x5c
const CLOSE_LIST = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d
const SMALL_E = 0x65
const SMALL_U = 0x75
const ESCAPES = new Set([...'"\\/bfnrt'].map((character) => character.charCodeAt(0)))
const LITERALS: Readonly<Record<number, string>> = { 0x74: 'true', 0x66: 'false', 0x6e: 'null' }

/** The kind of a value, as messages name it. */
export type JsonKind = 'an object' | 'a list' | 'a string' | 'a boolean' | 'null' | 'a number'

/** Tells the kind of the value at `at` by its first byte. Refuses MALFORMED_BODY when no value begins so. */
export const kindAt = (cursor: JsonCursor, at: number): JsonKind => {
  const byte = cursor.bytes[at]
  if (byte === OPEN_OBJECT) return 'an object'
  if (byte === OPEN_LIST) return 'a list'
  if (byte === QUOTE) return 'a string'
  if (byte === 0x74 || byte === 0x66) return 'a boolean'
  if (byte === 0x6e) return 'null'
  if (startsNumber(byte)) return 'a number'
  return refuseByte(cursor, at, 'a value')
}

/** Refuses (MALFORMED_BODY) an object or list at `at` that is nested too deep; the outermost has depth 1. */
export const checkDepth = (cursor: JsonCursor, at: number, depth: number): void => {
  if (depth > cursor.depthMax)
    refuse('MALFORMED_BODY', `the body: nested deeper than ${cursor.depthMax} at byte ${at}`)
}

const skipEscape = (cursor: JsonCursor, at: number): number => {
  const byte = cursor.bytes[at + 1]
  if (ESCAPES.has(byte)) return at + 2
  if (byte !== SMALL_U) refuseByte(cursor, at + 1, 'an escape')
  for (let digitAt = at + 2; digitAt < at + 6; digitAt += 1) {
    if (!/[0-9A-Fa-f]/.test(String.fromCharCode(cursor.bytes[digitAt])))
      refuseByte(cursor, digitAt, 'a hexadecimal digit')
  }
  return at + 6
}

const skipString = (cursor: JsonCursor, start: number): number => {
  const bytes = cursor.bytes
  let at = start + 1
  for (;;) {
    const byte = bytes[at]
    if (byte === QUOTE) return at + 1
    if (byte < 0x20) refuseByte(cursor, at, 'a character of a string, or its end')
    at = byte === BACKSLASH ? skipEscape(cursor, at) : at + 1
  }
}

const isDigit = (byte: number): boolean => byte >= 0x30 && byte <= 0x39

/** Whether a number begins with this byte. */
export const startsNumber = (byte: number): boolean => isDigit(byte) || byte === MINUS

const skipDigits = (cursor: JsonCursor, start: number): number => {
  let at = start
  if (!isDigit(cursor.bytes[at])) refuseByte(cursor, at, 'a digit')
  while (isDigit(cursor.bytes[at])) at += 1
  return at
}

const skipNumber = (cursor: JsonCursor, start: number): number => {
  const { bytes } = cursor
  const first = bytes[start] === MINUS ? start + 1 : start
  let at = skipDigits(cursor, first)
  if (bytes[first] === ZERO && at > first + 1) refuseByte(cursor, first + 1, 'no digit after a leading zero')
  if (bytes[at] === POINT) at = skipDigits(cursor, at + 1)
  if ((bytes[at] | 0x20) === SMALL_E) {
    at += 1
    if (bytes[at] === MINUS || bytes[at] === PLUS) at += 1
    at = skipDigits(cursor, at)
  }
  return at
}

/** Reads any number that the grammar allows at `start` into `target[index]`. Returns the place behind it. */
export const readNumber = (
  cursor: JsonCursor,
  start: number,
  target: Float64Array | Float32Array,
  index: number,
): number => {
  const at = skipNumber(cursor, start)
  target[index] = Number(cursor.buffer.toString('latin1', start, at))
  return at
}

const skipLiteral = (cursor: JsonCursor, at: number): number => {
  const literal = LITERALS[cursor.bytes[at]]
  for (let index = 1; index < literal.length; index += 1) {
    if (cursor.bytes[at + index] !== literal.charCodeAt(index))
      refuseByte(cursor, at + index, `the rest of ${literal}`)
  }
  return at + literal.length
}

/**
 * Caches the few names that bodies have. A fresh string costs ten times as much as a known one when it
 * becomes the name of a property, because the engine looks for an equal one among all strings.
 */
const knownNames = new Map<string, string>()
const KNOWN_NAMES_MAX = 256
const KNOWN_NAME_LENGTH_MAX = 64

const internName = (name: string): string => {
  const known = knownNames.get(name)
  if (known !== undefined) return known
  if (knownNames.size >= KNOWN_NAMES_MAX) knownNames.clear()
  if (name.length <= KNOWN_NAME_LENGTH_MAX) knownNames.set(name, name)
  return name
}

const readName = (cursor: JsonCursor): string => {
  const start = cursor.at
  if (cursor.bytes[start] !== QUOTE) refuseByte(cursor, start, 'the name of a member')
  cursor.at = skipString(cursor, start)
  const text = cursor.buffer.toString('utf8', start + 1, cursor.at - 1)
  return internName(text.includes('\\') ? (JSON.parse(`"${text}"`) as string) : text)
}

/**
 * Reads the object at the cursor. Calls `readValue` with the cursor at the value of each member; `readValue`
 * must leave the cursor behind that value. Refuses (MALFORMED_BODY) a name that occurs twice, because it is
 * unclear which value is meant.
 */
export const readMembers = (cursor: JsonCursor, depth: number, readValue: (name: string) => void): void => {
  const { bytes } = cursor
  checkDepth(cursor, cursor.at, depth)
  const names = new Set<string>()
  cursor.at = skipSpace(bytes, cursor.at + 1)
  if (bytes[cursor.at] === CLOSE_OBJECT) {
    cursor.at += 1
    return
  }
  for (;;) {
    const start = cursor.at
    const name = readName(cursor)
    if (names.has(name))
      refuse('MALFORMED_BODY', `the body: the member ${quoteText(name)} comes again at byte ${start}`)
    names.add(name)
    cursor.at = skipSpace(bytes, cursor.at)
    if (bytes[cursor.at] !== COLON) refuseByte(cursor, cursor.at, "':'")
    cursor.at = skipSpace(bytes, cursor.at + 1)
    readValue(name)
    cursor.at = skipSpace(bytes, cursor.at)
    if (bytes[cursor.at] === CLOSE_OBJECT) break
    if (bytes[cursor.at] !== COMMA) refuseByte(cursor, cursor.at, "',' or '}'")
    cursor.at = skipSpace(bytes, cursor.at + 1)
  }
  cursor.at += 1
}

/**
 * Reads the list at the cursor. Calls `readValue` with the cursor at each element, as {@link readMembers}
 * does.
 */
export const readElements = (cursor: JsonCursor, depth: number, readValue: (index: number) => void): void => {
  const { bytes } = cursor
  checkDepth(cursor, cursor.at, depth)
  cursor.at = skipSpace(bytes, cursor.at + 1)
  if (bytes[cursor.at] === CLOSE_LIST) {
    cursor.at += 1
    return
  }
  for (let index = 0; ; index += 1) {
    readValue(index)
    cursor.at = skipSpace(bytes, cursor.at)
    if (bytes[cursor.at] === CLOSE_LIST) break
    if (bytes[cursor.at] !== COMMA) refuseByte(cursor, cursor.at, "',' or ']'")
    cursor.at = skipSpace(bytes, cursor.at + 1)
  }
  cursor.at += 1
}

/**
 * Moves past the value at the cursor, whose depth is `depth`. Refuses MALFORMED_BODY unless it is strictly
 * RFC 8259.
 */
export const skipValue = (cursor: JsonCursor, depth: number): void => {
  const kind = kindAt(cursor, cursor.at)
  if (kind === 'an object') readMembers(cursor, depth, () => skipValue(cursor, depth + 1))
  else if (kind === 'a list') readElements(cursor, depth, () => skipValue(cursor, depth + 1))
  else if (kind === 'a string') cursor.at = skipString(cursor, cursor.at)
  else if (kind === 'a number') cursor.at = skipNumber(cursor, cursor.at)
  else cursor.at = skipLiteral(cursor, cursor.at)
}

/** Reads the value at the cursor as JSON.parse does, after {@link skipValue} has checked it. */
export const readPlain = (cursor: JsonCursor, depth: number): unknown => {
  const start = cursor.at
  skipValue(cursor, depth)
  return JSON.parse(cursor.buffer.toString('utf8', start, cursor.at))
}

/** Refuses (MALFORMED_BODY) anything but white space from the cursor to the end of the body. */
export const checkEnd = (cursor: JsonCursor): void => {
  const at = skipSpace(cursor.bytes, cursor.at)
  if (at < cursor.end) refuseByte(cursor, at, 'nothing more')
}
