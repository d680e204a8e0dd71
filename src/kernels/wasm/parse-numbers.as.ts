/**
 * Reads runs of JSON numbers, `1,-2.5,3e-7`, and rows of them, into float64 or float32. The text ends with a
 * zero byte, so no loop has to check for its end. Sixteen digits at a time are read as one vector, up to 15
 * bytes of which may lie after that zero. The caller handles rare numbers, whose position it learns: more
 * than 19 significant digits, powers of ten outside 10^-64..10^63, values too near the midpoint of two
 * doubles.
 */

import {
  ALIGN_AT, HUNDREDS_AT, INTEGERS_AT, NINES_AT, PAIRS_AT, POWER_MAX, POWER_MIN, POWERS_AT, THOUSANDS_AT,
  ZEROS_AT,
} from './parse-tables.as'

// The tables at this address: the vectors that parse-tables.ts lists; u64 powers of ten, 10^0..10^16; then
// four f64 for each k = -64..63: 10^k, its upper 26 bits, its lower 26 or 27 bits, and the difference from
// the exact power.
@external('env', 'tablesAt')
declare const tablesAt: usize

/** Integers up to this bound and powers of ten up to 10^22 are exact, so their quotient rounds only once. */
const EXACT_MAX: u64 = 9007199254740992
const EXACT_POWER_MAX: i32 = 22
/** Veltkamp's constant, which splits a double into two halves whose products are exact. */
const SPLITTER: f64 = 134217729
/** The error of `scale` is within these bounds: far below 2^-40 of the part that decides the rounding. */
const ABOVE: f64 = 1.0000000000009095
const BELOW: f64 = 0.9999999999990905

const ZERO: u8 = 0x30
const MINUS: u8 = 0x2d
const POINT: u8 = 0x2e
const COMMA: u8 = 0x2c
const OPEN: u8 = 0x5b
const CLOSE: u8 = 0x5d

/** Loads sixteen bytes and subtracts '0' from each. */
@inline
function loadDigits(at: usize): v128 {
  return i8x16.sub(v128.load(at), v128.load(tablesAt, ZEROS_AT))
}

/** Counts the digits before the first of sixteen bytes that is not a digit. */
@inline
function countDigits(digits: v128): u32 {
  return ctz(~i8x16.bitmask(i8x16.le_u(digits, v128.load(tablesAt, NINES_AT))))
}

/** Returns the number that the first `count` digits represent. */
@inline
function joinDigits(digits: v128, count: u32): u64 {
  const aligned = i8x16.swizzle(digits, v128.load(tablesAt + count, ALIGN_AT))
  const pairs = i16x8.shr_u(i16x8.mul(aligned, v128.load(tablesAt, PAIRS_AT)), 8)
  const fours = i32x4.dot_i16x8_s(pairs, v128.load(tablesAt, HUNDREDS_AT))
  const eights = i64x2.extract_lane(i32x4.dot_i16x8_s(i16x8.narrow_i32x4_u(fours, fours),
    v128.load(tablesAt, THOUSANDS_AT)), 0)
  return <u64><u32>eights * 100000000 + (<u64>eights >> 32)
}

/** Appends the first `count` digits to `value`. */
@inline
function appendDigits(value: u64, digits: v128, count: u32): u64 {
  return value * load<u64>(tablesAt + (<usize>count << 3), INTEGERS_AT) + joinDigits(digits, count)
}

/**
 * Returns value * 10^exponent, rounded once, from products of two doubles (Dekker), or NaN if these do not
 * decide the rounding.
 */
@inline
function scale(value: u64, exponent: i32): f64 {
  const high = <f64>value
  if (exponent < POWER_MIN || exponent > POWER_MAX) return NaN
  const low = <f64><i64>(value - <u64>high)
  const power = tablesAt + POWERS_AT + (<usize>(exponent - POWER_MIN) << 5)
  const factor = load<f64>(power)
  const factorHigh = load<f64>(power, 8)
  const factorLow = load<f64>(power, 16)
  const split = high * SPLITTER
  const highHigh = split - (split - high)
  const highLow = high - highHigh
  const product = high * factor
  const error = highHigh * factorHigh - product + highHigh * factorLow + highLow * factorHigh
    + highLow * factorLow
  const rest = error + (high * load<f64>(power, 24) + low * factor)
  const rounded = product + rest * ABOVE
  return rounded == product + rest * BELOW ? rounded : NaN
}

/**
 * Returns the end of the exponent whose sign or first digit is at `at`, or 0 if it does not have one to three
 * digits.
 */
@inline
function skipExponent(at: usize): usize {
  const sign = load<u8>(at)
  const begin = at + usize(sign == MINUS || sign == 0x2b)
  at = begin
  while (<u8>(load<u8>(at) - ZERO) <= 9 && at < begin + 4) at += 1
  return at == begin || at == begin + 4 ? 0 : at
}

/** Returns the exponent written from `at` to `end`. */
@inline
function readExponent(at: usize, end: usize): i32 {
  const sign = load<u8>(at)
  let exponent: i32 = 0
  for (let digitAt = at + usize(sign == MINUS || sign == 0x2b); digitAt < end; digitAt += 1) {
    exponent = exponent * 10 + <i32>load<u8>(digitAt) - ZERO
  }
  return sign == MINUS ? -exponent : exponent
}

/**
 * Returns true if the digits from `first` to `end`, which include a point, have more than 19 significant
 * ones.
 */
function hasTooManyDigits(first: usize, end: usize): bool {
  while (load<u8>(first) == ZERO || load<u8>(first) == POINT) first += 1
  return end - first > 19
}

/**
 * Reads the number at `at` into `valueAt`. Returns its end, or 0 if there is none that this kernel handles.
 */
@inline
function readNumber(at: usize, valueAt: usize, single: bool): usize {
  const negative = load<u8>(at) == MINUS
  const first = at + usize(negative)
  let value = <u64>load<u8>(first) - ZERO
  if (value > 9) return 0
  at = first + 1
  if (load<u8>(at) != POINT) {
    const digits = loadDigits(first)
    const count = countDigits(digits)
    if (count == 16 || (value == 0 && count > 1)) return 0
    value = joinDigits(digits, count)
    at = first + count
  }
  let exponent: i32 = 0
  if (load<u8>(at) == POINT) {
    const begin = at + 1
    let digits = loadDigits(begin)
    let count = countDigits(digits)
    if (count == 0) return 0
    value = appendDigits(value, digits, count)
    at = begin + count
    if (count == 16) {
      digits = loadDigits(at)
      count = countDigits(digits)
      if (count == 16) return 0
      value = appendDigits(value, digits, count)
      at += count
    }
    if (at > first + 20 && hasTooManyDigits(first, at)) return 0
    exponent = <i32>(begin - at)
  }
  if ((load<u8>(at) | 0x20) == 0x65) {
    const end = skipExponent(at + 1)
    if (end == 0) return 0
    exponent += readExponent(at + 1, end)
    at = end
  }
  let result: f64
  if (value <= EXACT_MAX && exponent == 0) {
    result = <f64><i64>value
  } else if (value <= EXACT_MAX && exponent < 0 && exponent >= -EXACT_POWER_MAX) {
    result = <f64><i64>value / load<f64>(tablesAt + (<usize>(-exponent - POWER_MIN) << 5), POWERS_AT)
  } else {
    result = scale(value, exponent)
    if (result != result) return 0
  }
  result = reinterpret<f64>(reinterpret<u64>(result) | (<u64>negative << 63))
  if (single) {
    const rounded = <f32>result
    if (abs(rounded) == f32.MAX_VALUE + f32.MAX_VALUE) return 0
    store<f32>(valueAt, rounded)
  } else {
    store<f64>(valueAt, result)
  }
  return at
}

@inline
function skipSpace(at: usize): usize {
  let byte = load<u8>(at)
  while (byte <= 0x20 && (byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09)) {
    at += 1
    byte = load<u8>(at)
  }
  return at
}

/**
 * Reads numbers separated by commas from `at` on, as float32 (`single`) or float64, until something else
 * follows or `valuesAt` reaches `valuesEnd`. Stores their count at `countAt`. Returns the position after the
 * last number and the white space that follows it, or `at` if it read none. Numbers too large for float32 are
 * left to the caller, too.
 */
export function readRun(at: usize, valuesAt: usize, valuesEnd: usize, single: bool, countAt: usize): usize {
  const valueBytes: usize = select<usize>(4, 8, single)
  const valuesBegin = valuesAt
  let end = at
  while (valuesAt < valuesEnd) {
    const next = readNumber(at, valuesAt, single)
    if (next == 0) break
    valuesAt += valueBytes
    end = skipSpace(next)
    if (load<u8>(end) != COMMA) break
    at = skipSpace(end + 1)
  }
  store<u32>(countAt, <u32>((valuesAt - valuesBegin) / valueBytes))
  return end
}

/**
 * Reads rows of exactly `length` numbers, `,[1,2],[3,4]`, starting at the comma before the first, until
 * something else follows or another row would not fit before `valuesEnd`. Stores the count of rows at
 * `countAt`. Returns the position after the last row, or `at` if it read none.
 */
export function readRows(at: usize, length: u32, valuesAt: usize, valuesEnd: usize, single: bool,
  countAt: usize): usize {
  const valueBytes: usize = select<usize>(4, 8, single)
  const rowBytes = length * valueBytes
  let rows: u32 = 0
  for (let end = at; valuesAt + rowBytes <= valuesEnd; ) {
    end = skipSpace(end)
    if (load<u8>(end) != COMMA) break
    end = skipSpace(end + 1)
    if (load<u8>(end) != OPEN) break
    const rowEnd = valuesAt + rowBytes
    let isRow = false
    for (let column = valuesAt; ; ) {
      end = readNumber(skipSpace(end + 1), column, single)
      if (end == 0) break
      column += valueBytes
      end = skipSpace(end)
      isRow = column == rowEnd
      if (isRow || load<u8>(end) != COMMA) break
    }
    if (!isRow || load<u8>(end) != CLOSE) break
    end += 1
    at = end
    valuesAt = rowEnd
    rows += 1
  }
  store<u32>(countAt, rows)
  return at
}
