/**
 * Finds the shortest decimals of float32 numbers, four at a time: the digits and the position of the point,
 * which print-floats.as.ts turns into text. The algorithm is Schubfach (Raffaello Giulietti, "The Schubfach
 * way to render doubles", 2020) for 24-bit significands, here with one product of the significand and a
 * 64-bit factor that depends only on the binary exponent; the ends of the rounding interval need one more
 * addition each.
 */

// Constants are loaded as whole vectors from the tables of print-tables.ts, because the engine recreates a
// constant at each use, in three instructions, and takes two to load and repeat a lane.
import {
  EIGHT_DIGITS_MIN, FORM_MAX, IMPLIED_BIT, LESS_HUNDRED, LESS_TEN, LOWEST_BIT, NINE_DIGITS_MIN, PER_HUNDRED,
  PER_TEN, PER_TEN_THOUSAND, ROUNDING, SIGN_BIT, SLACK, TEN, TEN_THOUSAND, TENTH, TWICE_SLACK,
} from './print-tables.as'

/**
 * Returns the offset of the entry of a value in the table of factors, which has 16 bytes for each biased
 * exponent.
 */
@inline
export function entryOf(bits: u32): usize {
  return <usize>(bits >> 19 & 0xff0)
}

/** Returns the lower halves of four u64. */
@inline
function lowerHalves(first: v128, second: v128): v128 {
  return v128.shuffle<u32>(first, second, 0, 2, 4, 6)
}

@inline
function upperHalves(first: v128, second: v128): v128 {
  return v128.shuffle<u32>(first, second, 1, 3, 5, 7)
}

/** Returns the upper halves of four products of u32. */
@inline
function multiplyHigh(values: v128, factors: v128): v128 {
  return upperHalves(i64x2.extmul_low_i32x4_u(values, factors), i64x2.extmul_high_i32x4_u(values, factors))
}

/** Removes the 36 fraction bits of two u64. */
@inline
function floorBoth(values: v128): v128 {
  return i64x2.shr_u(values, 36)
}

/** Rounds two u64 to the nearest integers, half to even. */
@inline
function roundBoth(values: v128, rounding: v128, twiceSlack: v128): v128 {
  return floorBoth(i64x2.add(i64x2.add(values, rounding), v128.and(i64x2.shr_u(values, 33), twiceSlack)))
}

/** Splits numbers below 10,000 into four digits each: bytes 0..9, with the first digit in the lowest byte. */
@inline
function spreadDigits(fours: v128, constantsAt: usize): v128 {
  const hundreds = i32x4.shr_u(i32x4.dot_i16x8_s(fours, v128.load(constantsAt, PER_HUNDRED)), 20)
  const twos = i32x4.sub(i32x4.shl(fours, 16), i32x4.mul(hundreds, v128.load(constantsAt, LESS_HUNDRED)))
  const tens = i16x8.shr_u(i16x8.mul(twos, v128.load(constantsAt, PER_TEN)), 10)
  return i16x8.sub(i16x8.shl(twos, 8), i16x8.mul(tens, v128.load(constantsAt, LESS_TEN)))
}

/**
 * Finds the decimals of the four numbers at `valuesAt`. Each is below 200,000,000, so a ninth digit before
 * the other eight can only be 1. Stores 16 bytes for each number: the last eight digits as bytes 0..9; an
 * i32, minus the count of leading zeros among the nine digits; and a u32, the offset of the form with which
 * print-floats.as.ts writes the number: that of nine positive digits from the table of factors, plus 128 for
 * each leading zero, plus 64 for negative numbers. Offsets of FORM_MAX and more mark numbers for the slow
 * path: zeros, subnormal numbers, powers of two, infinities and NaN, whose digits here are meaningless.
 */
@inline
export function findDecimals(valuesAt: usize, factorsAt: usize, constantsAt: usize, decimalsAt: usize): void {
  const entry0 = v128.load(factorsAt + entryOf(load<u32>(valuesAt)))
  const entry1 = v128.load(factorsAt + entryOf(load<u32>(valuesAt, 4)))
  const entry2 = v128.load(factorsAt + entryOf(load<u32>(valuesAt, 8)))
  const entry3 = v128.load(factorsAt + entryOf(load<u32>(valuesAt, 12)))
  const factors01 = v128.shuffle<u64>(entry0, entry1, 0, 2)
  const factors23 = v128.shuffle<u64>(entry2, entry3, 0, 2)
  const formsOfNine = v128.shuffle<u64>(
    v128.shuffle<u32>(entry0, entry1, 2, 6, 3, 7), v128.shuffle<u32>(entry2, entry3, 2, 6, 3, 7), 1, 3,
  )
  const low = lowerHalves(factors01, factors23)
  const high = upperHalves(factors01, factors23)
  const values = v128.load(valuesAt)
  const impliedBit = v128.load(constantsAt, IMPLIED_BIT)
  const significands = v128.or(i32x4.shl(values, 8), impliedBit)
  // The values in units of a power of ten, with 36 fraction bits, and half the distance to their neighbours.
  // The error of both is below SLACK; a value within that distance of an end of its interval, or of a
  // midpoint, is exactly on it. An end belongs to the interval if the significand is even.
  const values01 = i64x2.add(
    i64x2.extmul_low_i32x4_u(significands, high),
    i64x2.shr_u(i64x2.extmul_low_i32x4_u(significands, low), 32),
  )
  const values23 = i64x2.add(
    i64x2.extmul_high_i32x4_u(significands, high),
    i64x2.shr_u(i64x2.extmul_high_i32x4_u(significands, low), 32),
  )
  const odd = v128.and(significands, v128.load(constantsAt, LOWEST_BIT))
  const slacks = i32x4.sub(v128.load(constantsAt, SLACK), i32x4.shr_u(odd, 5))
  const halves01 = i64x2.add(i64x2.shr_u(factors01, 25), i64x2.extend_low_i32x4_s(slacks))
  const halves23 = i64x2.add(i64x2.shr_u(factors23, 25), i64x2.extend_high_i32x4_s(slacks))
  const lower = lowerHalves(floorBoth(i64x2.sub(values01, halves01)),
    floorBoth(i64x2.sub(values23, halves23)))
  const upper = lowerHalves(floorBoth(i64x2.add(values01, halves01)),
    floorBoth(i64x2.add(values23, halves23)))
  // At most one multiple of ten reads back; if one does, it is shorter than every other decimal that does.
  const tens = i32x4.mul(multiplyHigh(upper, v128.load(constantsAt, TENTH)), v128.load(constantsAt, TEN))
  const rounding = v128.load(constantsAt, ROUNDING)
  const twiceSlack = v128.load(constantsAt, TWICE_SLACK)
  const nearest = lowerHalves(roundBoth(values01, rounding, twiceSlack),
    roundBoth(values23, rounding, twiceSlack))
  const decimals = v128.bitselect(tens, nearest, i32x4.gt_s(tens, lower))

  const areEight = i32x4.lt_s(decimals, v128.load(constantsAt, NINE_DIGITS_MIN))
  const areSeven = i32x4.lt_s(decimals, v128.load(constantsAt, EIGHT_DIGITS_MIN))
  const missing = i32x4.add(areEight, areSeven)
  const lasts = i32x4.sub(decimals, v128.andnot(v128.load(constantsAt, NINE_DIGITS_MIN), areEight))
  const upperFours = i32x4.shr_u(multiplyHigh(lasts, v128.load(constantsAt, PER_TEN_THOUSAND)), 11)
  const lowerFours = i32x4.sub(lasts, i32x4.dot_i16x8_s(upperFours, v128.load(constantsAt, TEN_THOUSAND)))
  const negatives = v128.and(i32x4.shr_u(values, 25), v128.load(constantsAt, SIGN_BIT))
  const forms = i32x4.min_u(v128.or(formsOfNine, i32x4.eq(significands, impliedBit)),
    v128.load(constantsAt, FORM_MAX))
  const formOffsets = v128.or(i32x4.sub(forms, i32x4.shl(missing, 7)), negatives)
  const heads01 = v128.shuffle<u32>(missing, formOffsets, 0, 4, 1, 5)
  const heads23 = v128.shuffle<u32>(missing, formOffsets, 2, 6, 3, 7)
  const digits01 = spreadDigits(v128.shuffle<u32>(upperFours, lowerFours, 0, 4, 1, 5), constantsAt)
  const digits23 = spreadDigits(v128.shuffle<u32>(upperFours, lowerFours, 2, 6, 3, 7), constantsAt)
  v128.store(decimalsAt, v128.shuffle<u64>(digits01, heads01, 0, 2))
  v128.store(decimalsAt, v128.shuffle<u64>(digits01, heads01, 1, 3), 16)
  v128.store(decimalsAt, v128.shuffle<u64>(digits23, heads23, 0, 2), 32)
  v128.store(decimalsAt, v128.shuffle<u64>(digits23, heads23, 1, 3), 48)
}
