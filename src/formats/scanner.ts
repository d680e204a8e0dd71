/** Scans the text of a header, character by character, for the formats whose header is text. */
import { refuse } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'

/**
 * A place in the text of a header. No function of this file moves it back, so each character is read a
 * bounded number of times.
 */
export interface Cursor {
  readonly text: string
  at: number
  /** The name of the text in messages: `the npy header`. */
  readonly what: string
}

/**
 * Refuses (MALFORMED_BODY) the text at the cursor. The message says what was expected, what is there, and
 * where.
 */
export const failAt = (cursor: Cursor, expected: string): never => {
  const actual = cursor.at < cursor.text.length ? quoteText(cursor.text[cursor.at]) : 'its end'
  return refuse(
    'MALFORMED_BODY',
    `${cursor.what}: expected ${expected} at character ${cursor.at}, found ${actual}`,
  )
}

/** Quotes a client's text for a message: as a JSON string, cut at 64 characters. */
export const quoteText = (text: string): string =>
  JSON.stringify(text.length > 64 ? `${text.slice(0, 64)}...` : text)

/** Lists names in quotes, for messages. Only the first of very many are listed. */
export const listNames = (names: readonly string[]): string => {
  const shown = names.slice(0, LIMITS.errorPlacesMax).map(quoteText).join(', ')
  return names.length === 0
    ? 'none'
    : names.length > LIMITS.errorPlacesMax
      ? `${shown} and ${names.length - LIMITS.errorPlacesMax} more`
      : shown
}

/**
 * Returns the next character that is not white space, without moving past it; the empty string at the end.
 */
export const peek = (cursor: Cursor): string => {
  const { text } = cursor
  let { at } = cursor
  // Padding may be a hundred megabytes long.
  for (let code = text.charCodeAt(at); isSpace(code); code = text.charCodeAt(at)) at += 1
  cursor.at = at
  return text.charAt(at)
}

const isSpace = (code: number): boolean => code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09

/** Moves past `token` if it comes next, after any white space. Returns whether it did. */
export const accept = (cursor: Cursor, token: string): boolean => {
  peek(cursor)
  if (!cursor.text.startsWith(token, cursor.at)) return false
  cursor.at += token.length
  return true
}

/** Moves past `token`. Refuses (MALFORMED_BODY) anything else. */
export const expectToken = (cursor: Cursor, token: string): void => {
  if (!accept(cursor, token)) failAt(cursor, quoteText(token))
}

/**
 * Reads a whole number, 0 or larger, without sign, leading zeros, fraction or exponent. Above 2^53 it is not
 * exact; the caller checks that.
 */
export const readWhole = (cursor: Cursor): number => {
  peek(cursor)
  const start = cursor.at
  while (isDigit(cursor.text[cursor.at])) cursor.at += 1
  const digits = cursor.text.slice(start, cursor.at)
  if (digits === '' || (digits.length > 1 && digits.startsWith('0'))) {
    cursor.at = start
    failAt(cursor, 'a whole number, 0 or larger')
  }
  return Number(digits)
}

const isDigit = (character: string | undefined): boolean =>
  character !== undefined && character >= '0' && character <= '9'
