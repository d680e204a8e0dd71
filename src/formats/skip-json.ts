/** Skips a JSON value in the text of a header. */
import { LIMITS } from '../core/limits.ts'
import { accept, type Cursor, expectToken, failAt, peek } from './scanner.ts'

/** A number or literal of JSON, at the place where the search begins. */
const SCALAR = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y

/**
 * Moves past the value at the cursor; `skipString` moves past a string. Refuses MALFORMED_BODY for text that
 * is no JSON value.
 */
export const skipJson = (cursor: Cursor, skipString: (cursor: Cursor) => void, depth = 1): void => {
  if (depth > LIMITS.jsonDepthMax) failAt(cursor, `no more than ${LIMITS.jsonDepthMax} levels`)
  if (accept(cursor, '[')) {
    if (accept(cursor, ']')) return
    do skipJson(cursor, skipString, depth + 1)
    while (accept(cursor, ','))
    expectToken(cursor, ']')
  } else if (accept(cursor, '{')) {
    if (accept(cursor, '}')) return
    do {
      skipString(cursor)
      expectToken(cursor, ':')
      skipJson(cursor, skipString, depth + 1)
    } while (accept(cursor, ','))
    expectToken(cursor, '}')
  } else if (peek(cursor) === '"') skipString(cursor)
  else skipScalar(cursor)
}

const skipScalar = (cursor: Cursor): void => {
  SCALAR.lastIndex = cursor.at
  const found = SCALAR.exec(cursor.text)
  if (found === null) failAt(cursor, 'a JSON value')
  cursor.at += found?.[0].length ?? 0
}
