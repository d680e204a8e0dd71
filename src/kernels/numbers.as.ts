// Reads runs of JSON numbers, `1,-2.5,3e-7`, into float64. The text ends with a zero byte, so that no loop needs to look for its end;
// eight digits at a time are read as one u64, up to 7 bytes of which may lie behind that zero.
// What is rare is left to the caller, who is told where: more than 19 significant digits, powers of ten beyond 10^-64 and 10^63,
// values so close to the middle of two doubles that the sum of two doubles does not decide.

// u64 powers of ten, 10^0..10^7; then for k = -64..63 four f64: 10^k, its upper 26 bits, its lower 26 or 27, what it lacks.
@external('env', 'tablesAt')
declare const tablesAt: usize

const POWERS_AT: usize = 64
const POWER_MIN: i32 = -64
const POWER_MAX: i32 = 63
/** Veltkamp's constant: splits a double into two halves whose products are exact. */
const SPLITTER: f64 = 134217729
/** The error of `scale` is far below 2^-40 of the part that decides the rounding. */
const ABOVE: f64 = 1.0000000000009095
const BELOW: f64 = 0.9999999999990905

const ZERO: u8 = 0x30
const MINUS: u8 = 0x2d
const POINT: u8 = 0x2e
const COMMA: u8 = 0x2c

/** Zero where a byte of `word` is a decimal digit, with bits set in all others. */
@inline
function markOthers(word: u64): u64 {
  return ((word & 0xf0f0f0f0f0f0f0f0) ^ 0x3030303030303030) | (((word & 0x0f0f0f0f0f0f0f0f) + 0x0606060606060606) & 0x1010101010101010)
}

/** The number that eight digits are, the first in the lowest byte. Zero bytes count as zeros. */
@inline
function joinDigits(word: u64): u64 {
  const pairs = ((word & 0x0f0f0f0f0f0f0f0f) * 2561) >> 8
  const fours = ((pairs & 0x00ff00ff00ff00ff) * 6553601) >> 16
  return ((fours & 0x0000ffff0000ffff) * 42949672960001) >> 32
}

/** `value`, with the digits of `word` before its first other byte appended; `bits` is 8 times their count, 0..56. */
@inline
function appendDigits(value: u64, word: u64, bits: u64): u64 {
  return value * load<u64>(tablesAt + <usize>bits) + joinDigits(word << 1 << (63 - bits))
}

/** value * 10^exponent, rounded once, from products of two doubles (Dekker); NaN where that does not decide. */
@inline
function scale(value: u64, exponent: i32): f64 {
  const high = <f64>value
  if (exponent == 0 && value <= 9007199254740992) return high
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
  const error = highHigh * factorHigh - product + highHigh * factorLow + highLow * factorHigh + highLow * factorLow
  const rest = error + (high * load<f64>(power, 24) + low * factor)
  const rounded = product + rest * ABOVE
  return rounded == product + rest * BELOW ? rounded : NaN
}

/** The end of the exponent that begins, behind its `e`, at `at`; 0 where there is none of one to three digits. */
@inline
function skipExponent(at: usize): usize {
  const sign = load<u8>(at)
  const begin = at + usize(sign == MINUS || sign == 0x2b)
  at = begin
  while (<u8>(load<u8>(at) - ZERO) <= 9 && at < begin + 4) at += 1
  return at == begin || at == begin + 4 ? 0 : at
}

/** The exponent written from `at` to `end`. */
@inline
function readExponent(at: usize, end: usize): i32 {
  const sign = load<u8>(at)
  let exponent: i32 = 0
  for (let digitAt = at + usize(sign == MINUS || sign == 0x2b); digitAt < end; digitAt += 1) {
    exponent = exponent * 10 + <i32>load<u8>(digitAt) - ZERO
  }
  return sign == MINUS ? -exponent : exponent
}

/** Whether the digits from `first` to `end`, a point among them, have more than 19 that count. */
function hasTooManyDigits(first: usize, end: usize): bool {
  while (load<u8>(first) == ZERO || load<u8>(first) == POINT) first += 1
  return end - first > 19
}

/** Reads the number at `at` to `valueAt` and returns its end; 0 where there is none, or one that is left to the caller. */
@inline
function readNumber(at: usize, valueAt: usize): usize {
  const negative = load<u8>(at) == MINUS
  const first = at + usize(negative)
  at = first
  let word = load<u64>(at)
  let others = markOthers(word)
  let value: u64 = 0
  if (others == 0) {
    value = joinDigits(word)
    at += 8
    word = load<u64>(at)
    others = markOthers(word)
    if (others == 0) return 0
  }
  let bits = ctz(others) & 56
  value = appendDigits(value, word, bits)
  at += <usize>(bits >> 3)
  if (at == first || (load<u8>(first) == ZERO && at > first + 1)) return 0
  let exponent: i32 = 0
  if (load<u8>(at) == POINT) {
    at += 1
    const begin = at
    word = load<u64>(at)
    others = markOthers(word)
    for (let words = 0; others == 0; words += 1) {
      if (words == 2) return 0
      value = value * 100000000 + joinDigits(word)
      at += 8
      word = load<u64>(at)
      others = markOthers(word)
    }
    bits = ctz(others) & 56
    value = appendDigits(value, word, bits)
    at += <usize>(bits >> 3)
    if (at == begin || (at > first + 20 && hasTooManyDigits(first, at))) return 0
    exponent = <i32>(begin - at)
  }
  if ((load<u8>(at) | 0x20) == 0x65) {
    const end = skipExponent(at + 1)
    if (end == 0) return 0
    exponent += readExponent(at + 1, end)
    at = end
  }
  const result = scale(value, exponent)
  if (result != result) return 0
  store<f64>(valueAt, negative ? -result : result)
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
 * Reads numbers with commas between them from `at` on, until something else follows or `valuesAt` reaches `valuesEnd`. Stores how many at
 * `countAt`. Returns the place behind the last one and the white space that follows it; `at` when there was none.
 */
export function readRun(at: usize, valuesAt: usize, valuesEnd: usize, countAt: usize): usize {
  const valuesBegin = valuesAt
  let end = at
  while (valuesAt < valuesEnd) {
    const next = readNumber(at, valuesAt)
    if (next == 0) break
    valuesAt += 8
    end = skipSpace(next)
    if (load<u8>(end) != COMMA) break
    at = skipSpace(end + 1)
  }
  store<u32>(countAt, <u32>((valuesAt - valuesBegin) >> 3))
  return end
}
