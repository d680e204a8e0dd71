import { refuseByte } from './json-cursor.ts'
import type { JsonCursor } from './json-cursor.ts'

const ZERO = 0x30
const MINUS = 0x2d
const PLUS = 0x2b
/** Bytes as `digit` shows them: less ZERO. */
const COMMA = 0x2c - ZERO
const CLOSE = 0x5d - ZERO
const POINT = 0x2e - ZERO
const SMALL_E = 0x65 - ZERO

const POWER_MIN = -64
const POWER_MAX = 63
/** Powers of ten up to here are doubles. */
const EXACT_POWER_MAX = 22
const EXACT_INTEGER_MAX = 2 ** 53
/** Veltkamp's constant: splits a double into two of 26 bits. */
const SPLITTER = 2 ** 27 + 1

/**
 * Powers of ten as sums of two doubles, good to 2^-106: `power` (in two halves of 26 bits too) and `powerRest`.
 * By exponent less POWER_MIN.
 */
const POWER_COUNT = POWER_MAX - POWER_MIN + 1
const power = new Float64Array(POWER_COUNT)
const powerHigh = new Float64Array(POWER_COUNT)
const powerLow = new Float64Array(POWER_COUNT)
const powerRest = new Float64Array(POWER_COUNT)
for (let index = 0; index < POWER_COUNT; index += 1) {
  const exponent = index + POWER_MIN
  // In fixed point, 600 bits behind the point: enough for 10^-64 and its 53-bit neighbour.
  const exact = exponent >= 0 ? 10n ** BigInt(exponent) << 600n : (1n << 600n) / 10n ** BigInt(-exponent)
  const nearest = Number(`1e${exponent}`)
  const split = nearest * SPLITTER
  power[index] = nearest
  powerHigh[index] = split - (split - nearest)
  powerLow[index] = nearest - powerHigh[index]
  powerRest[index] = Number(exact - (BigInt(nearest * 2 ** 300) << 300n)) * 2 ** -300 * 2 ** -300
}

/**
 * (high + low) * 10^exponent, rounded once; NaN when the error of the sum of two doubles leaves the rounding open, in about one of 10^12.
 * `high` is the double nearest to high + low.
 */
const scaleExactly = (high: number, low: number, exponent: number): number => {
  const index = exponent - POWER_MIN
  const factor = power[index]
  const split = high * SPLITTER
  const highHigh = split - (split - high)
  const highLow = high - highHigh
  const product = high * factor
  const error =
    highHigh * powerHigh[index] - product + highHigh * powerLow[index] + highLow * powerHigh[index] + highLow * powerLow[index]
  const rest = error + (high * powerRest[index] + low * factor)
  const rounded = product + rest * (1 + 2 ** -40)
  return rounded === product + rest * (1 - 2 ** -40) ? rounded : NaN
}

/**
 * Reads the number at `start` into `target[index]`, to the bit what JSON.parse makes of it, and returns the place behind it. MALFORMED_BODY
 * when there is none. Up to 18 significant digits and powers of ten from 10^-64 to 10^63 are computed here, the rest by `readAnyNumber`.
 */
export const readUsualNumber = (bytes: Uint8Array, start: number, target: Float64Array, index: number): number => {
  const negative = ((bytes[start] ^ MINUS) - 1) >>> 31
  const first = start + negative
  let at = first
  // `high` holds the first nine significant digits and `low` the next nine; both stay within 31 bits.
  let high = bytes[at] - ZERO
  if (high >>> 0 > 9) return -1
  let digit = bytes[++at] - ZERO
  if (high !== 0) {
    while (digit >>> 0 <= 9 && at < first + 9) {
      high = (((high << 2) + high) << 1) + digit
      digit = bytes[++at] - ZERO
    }
  }
  if (digit === COMMA || digit === CLOSE) {
    target[index] = high * (1 - 2 * negative)
    return at
  }
  let exponent = 0
  if (digit === POINT) {
    exponent = at + 1
    digit = bytes[++at] - ZERO
    if (digit >>> 0 > 9) return -1
    if (high === 0) while (bytes[at] === ZERO) at += 1
    const stop = high === 0 ? at + 9 : first + 10
    digit = bytes[at] - ZERO
    while (digit >>> 0 <= 9 && at < stop) {
      high = (((high << 2) + high) << 1) + digit
      digit = bytes[++at] - ZERO
    }
  }
  const lowBegin = at
  let low = 0
  while (digit >>> 0 <= 9 && at < lowBegin + 9) {
    low = (((low << 2) + low) << 1) + digit
    digit = bytes[++at] - ZERO
  }
  const lowDigits = at - lowBegin
  if (exponent !== 0) exponent -= at
  if (high === 0 && lowDigits > 0) return -1
  if ((digit | 0x20) === SMALL_E) {
    digit = bytes[++at] - ZERO
    const sign = digit === MINUS - ZERO ? -1 : 1
    if (sign < 0 || digit === PLUS - ZERO) digit = bytes[++at] - ZERO
    const begin = at
    let written = 0
    while (digit >>> 0 <= 9 && at < begin + 4) {
      written = written * 10 + digit
      digit = bytes[++at] - ZERO
    }
    if (at === begin) return -1
    exponent += sign * written
  }
  if (digit >>> 0 <= 9 || digit === POINT || exponent < POWER_MIN || exponent > POWER_MAX) return -1
  // Exact: nine digits and a power of ten up to 10^9 have 30 bits and 21 bits above the trailing zeros.
  const shifted = high * power[lowDigits - POWER_MIN]
  const sum = shifted + low
  let value = 0
  if (sum <= EXACT_INTEGER_MAX && exponent <= 0 && exponent >= -EXACT_POWER_MAX) value = sum / power[-exponent - POWER_MIN]
  else value = scaleExactly(sum, low - (sum - shifted), exponent)
  if (Number.isNaN(value)) return -1
  target[index] = value * (1 - 2 * negative)
  return at
}

const skipDigits = (cursor: JsonCursor, at: number): number => {
  const bytes = cursor.bytes
  if ((bytes[at] - ZERO) >>> 0 > 9) refuseByte(cursor, at, 'a digit')
  while ((bytes[at] - ZERO) >>> 0 <= 9) at += 1
  return at
}

/** The place behind the number at `start`, by the grammar of RFC 8259. MALFORMED_BODY when there is none. */
export const skipNumber = (cursor: JsonCursor, start: number): number => {
  const bytes = cursor.bytes
  const first = bytes[start] === MINUS ? start + 1 : start
  let at = skipDigits(cursor, first)
  if (bytes[first] === ZERO && at > first + 1) refuseByte(cursor, first + 1, "'.', 'e' or the end of the number after a leading zero")
  if (bytes[at] - ZERO === POINT) at = skipDigits(cursor, at + 1)
  if (((bytes[at] - ZERO) | 0x20) === SMALL_E) {
    at += 1
    if (bytes[at] === MINUS || bytes[at] === PLUS) at += 1
    at = skipDigits(cursor, at)
  }
  return at
}

/** As {@link readNumber}, for every number: by its text. */
export const readAnyNumber = (cursor: JsonCursor, start: number, target: Float64Array, index: number): number => {
  const at = skipNumber(cursor, start)
  target[index] = Number(cursor.buffer.toString('latin1', start, at))
  return at
}
