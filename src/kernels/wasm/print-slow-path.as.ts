/**
 * Prints, one at a time, the numbers that have no form in print-floats.as.ts: zeros, infinities and NaN,
 * subnormal numbers, powers of two, and decimals with an exponent or many zeros.
 */
import { entryOf } from './decimals.as'
import { NO_POINT, POINT_AT, POWER_MIN, POWERS_AT } from './print-tables.as'

// print-floats.as.ts describes the tables at this address.
@external('env', 'tablesAt')
declare const tablesAt: usize

/**
 * The float32 whose shortest decimal, 7.038531e-26, is so close to the end of its rounding interval that a
 * reader that rounds to double first, as most do, gets another float32.
 */
const LONGER_BITS: u32 = 0x15ae43fd

/** Returns floor(log10(2^exponent)), or floor(log10(3/4 * 2^exponent)). */
@inline
function floorLog10(exponent: i32, threeQuarters: bool): i32 {
  return (exponent * 1262611 - select<i32>(524031, 0, threeQuarters)) >> 22
}

/** Returns floor(log2(10^exponent)). */
@inline
function floorLog2(exponent: i32): i32 {
  return (exponent * 1741647) >> 19
}

/**
 * Returns the integer part of a product of 32.32 bits. Its lowest bit is set if the fraction exceeds the
 * error of the powers.
 */
@inline
function roundToOdd(product: u64): u32 {
  return <u32>(product >> 32) | u32(<u32>product > 2)
}

/** Returns eight decimal digits as eight bytes 0..9, with the first digit in the lowest byte. */
@inline
function spreadDigits(value: u32): u64 {
  const high = (<u64>value * 109951163) >> 40
  const fours = (<u64>value << 32) - high * ((10000 << 32) - 1)
  const hundreds = ((fours * 10486) >> 20) & 0x0000007f0000007f
  const twos = (fours << 16) - hundreds * ((100 << 16) - 1)
  const tens = ((twos * 103) >> 10) & 0x000f000f000f000f
  return (twos << 8) - tens * ((10 << 8) - 1)
}

/** Returns true if a decimal with the point after `point` digits is written without an exponent. */
@inline
function isPlain(point: i32): bool {
  return <u32>(point + 5) <= 26
}

/**
 * Counts the digits of nine that remain without trailing zeros. Those are the zero bytes at the upper end of
 * the last eight.
 */
@inline
function countDigits(others: u64): i32 {
  return <i32>((79 - clz(others)) >> 3)
}

/**
 * Writes nine digits, the first as a character and the others as bytes 0..9, with the decimal point after
 * `point` of them and without trailing zeros. Returns the end of the text; up to 16 bytes after it may be
 * overwritten.
 */
@inline
function writePlain(at: usize, first: u32, others: u64, point: i32): usize {
  const digits = countDigits(others)
  const rest = others | 0x3030303030303030
  if (point <= 0) {
    store<u64>(at, 0x303030303030_2e30)
    const start = at + 2 - point
    store<u8>(start, <u8>first)
    store<u64>(start + 1, rest)
    return start + digits
  }
  store<u8>(at, <u8>first)
  store<u64>(at + 1, rest)
  if (digits > point) {
    store<u8>(at + point, 0x2e)
    store<u64>(at + point + 1, rest >> (<u64>(point - 1) << 3))
    return at + digits + 1
  }
  if (point > 9) {
    store<u64>(at + 9, 0x3030303030303030)
    store<u64>(at + 17, 0x3030303030303030)
  }
  return at + point
}

/** Writes nine digits with an exponent; otherwise like writePlain. */
@inline
function writeScientific(at: usize, first: u32, others: u64, point: i32): usize {
  const digits = countDigits(others)
  store<u8>(at, <u8>first)
  store<u8>(at + 1, 0x2e)
  store<u64>(at + 2, others | 0x3030303030303030)
  at += select<usize>(digits + 1, 1, digits > 1)
  const isNegative = point <= 0
  const exponent = select<u32>(1 - point, point - 1, isNegative)
  const tens = (exponent * 103) >> 10
  store<u16>(at, select<u16>(0x2d65, 0x2b65, isNegative))
  store<u16>(at + 2, <u16>((select<u32>(tens, exponent, tens > 0) + 48) | ((exponent - tens * 10 + 48) << 8)))
  return at + 3 + usize(tens > 0)
}

/**
 * Writes zero, infinities and NaN, subnormal numbers, and powers of two, whose neighbours are not equally far
 * away.
 */
function writeOther(at: usize, bits: u32): usize {
  const fraction = bits & 0x7fffff
  const biased = <i32>(bits >> 23 & 0xff)
  if (biased == 0xff) {
    store<u32>(at, 0x6c6c756e)
    return at + 4
  }
  store<u8>(at, 0x2d)
  at += <usize>(bits >> 31)
  if (biased == 0 && fraction == 0) {
    store<u8>(at, 0x30)
    return at + 1
  }
  const significand = select<u32>(fraction | 0x800000, fraction, biased != 0)
  const exponent = select<i32>(biased, 1, biased != 0) - 150
  // The next value below a power of two is only half as far away as the next above it.
  const lowerCloser = fraction == 0 && biased > 1
  const power = floorLog10(exponent, lowerCloser)
  const shift = exponent + floorLog2(-power) + 1
  const scale = load<u64>(tablesAt + POWERS_AT + (<usize>(-power - POWER_MIN) << 3))
  // The value and the ends of its rounding interval, in quarters of 10^power. The ends belong to the interval
  // if the significand is even.
  const factor = <u64>((significand << 2) << shift)
  const product = (scale >> 32) * factor + (((scale & 0xffffffff) * factor) >> 32)
  const half = <u64>(31 - shift)
  const odd: u32 = significand & 1
  const value = roundToOdd(product)
  const lower = roundToOdd(product - (scale >> (half + <u64>lowerCloser))) + odd
  const upper = roundToOdd(product + (scale >> half) + 1) - odd
  const whole = value >> 2
  const tenth: u32 = whole / 10
  const tenthBelow = u32(lower <= tenth * 40)
  const tenthAbove = u32(tenth * 40 + 40 <= upper)
  const middle = (whole << 2) + 2
  const isShort = tenthBelow != tenthAbove && (bits & 0x7fffffff) != LONGER_BITS
  const nearest = u32(value > middle) | (u32(value == middle) & whole & 1) | u32(lower > whole << 2)
  let decimal = select<u32>((tenth + tenthAbove) * 10, whole + nearest, isShort)
  let point = power + 9
  while (decimal < 100000000) {
    decimal *= 10
    point -= 1
  }
  const first = decimal / 100000000
  const others = spreadDigits(decimal - first * 100000000)
  return isPlain(point) ? writePlain(at, first + 48, others, point)
    : writeScientific(at, first + 48, others, point)
}

/**
 * Writes a number that has no form: zeros, NaN and infinities as null, powers of two, very small and very
 * large numbers.
 */
export function writeSlowPath(at: usize, bits: u32, decimalAt: usize): usize {
  if ((bits & 0x7fffff) == 0) return writeOther(at, bits)
  const point = load<i32>(tablesAt + entryOf(bits), POINT_AT)
  const others = load<u64>(decimalAt)
  const zeros = -load<i32>(decimalAt, 8)
  const place = point - zeros
  if (point == NO_POINT || (bits & 0x7fffffff) == LONGER_BITS) return writeOther(at, bits)
  store<u8>(at, 0x2d)
  const start = at + <usize>(bits >> 31)
  const first = 0x30 + select<u32>(1, <u32>(others >> (<u64>(zeros - 1) << 3)) & 0xf, zeros == 0)
  const rest = others >> (<u64>zeros << 3)
  return isPlain(place) ? writePlain(start, first, rest, place) : writeScientific(start, first, rest, place)
}
