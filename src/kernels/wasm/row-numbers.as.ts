/** Loads, stores and sums numbers of the arena four at a time, and the last one to three numbers of a row. */
import { SAFE_LENGTH_MIN } from './codes.as'
import { storeLanes } from './rows.as'

/**
 * Loads `count` (1..4) numbers into the first lanes, with zeros in the others. The loops pass the constant 4,
 * for which no branch remains.
 */
@inline
export function loadNumbers(at: usize, count: i32): v128 {
  if (count == 4) return v128.load(at)
  if (count == 1) return v128.load_zero<u32>(at)
  const pair = v128.load_zero<u64>(at)
  return count == 2 ? pair : v128.load_lane<u32>(at, pair, 2, 8)
}

@inline
export function storeNumbers(at: usize, numbers: v128, count: i32): void {
  if (count == 4) v128.store(at, numbers)
  else storeLanes(at, numbers, count)
}

/**
 * Returns lanes with bits set if any of the first `count` (1..4) numbers is not finite. The lanes after them
 * are ignored, because they may hold anything, such as the NaN of zero divided by zero. x - x is zero unless
 * x is infinite or NaN.
 */
@inline
export function nonFiniteBits(numbers: v128, count: i32): v128 {
  const nonFinite = f32x4.sub(numbers, numbers)
  if (count == 4) return nonFinite
  if (count == 1) return v128.and(nonFinite, i32x4(-1, 0, 0, 0))
  return v128.and(nonFinite, count == 2 ? i32x4(-1, -1, 0, 0) : i32x4(-1, -1, -1, 0))
}

@inline
function addSquares(count: i32, at: usize, sums: v128): v128 {
  const numbers = loadNumbers(at, count)
  return f32x4.add(sums, f32x4.mul(numbers, numbers))
}

/**
 * Returns the sum of the squares of a row. Lane j of four adds up the columns j, j+4, j+8, .. in ascending
 * order; the sum is (lane 0 + lane 2) + (lane 1 + lane 3).
 */
@inline
export function sumSquares(at: usize, dim: i32): f32 {
  let sums = i32x4.splat(0)
  let rest = dim
  for (; rest >= 4; rest -= 4) {
    sums = addSquares(4, at, sums)
    at += 16
  }
  if (rest > 0) sums = addSquares(rest, at, sums)
  const halves = f32x4.add(sums, v128.shuffle<i32>(sums, sums, 2, 3, 0, 1))
  return f32x4.extract_lane(halves, 0) + f32x4.extract_lane(halves, 1)
}

@inline
function addWideSquares(numbers: v128, sums: v128): v128 {
  const wide = f64x2.promote_low_f32x4(numbers)
  return f64x2.add(sums, f64x2.mul(wide, wide))
}

/**
 * Returns the same sum in float64, which holds the square of every float32, for sums that {@link isSafe}
 * rejects.
 */
export function sumSquaresWide(at: usize, dim: i32): f64 {
  let low = i32x4.splat(0)
  let high = i32x4.splat(0)
  for (let rest = dim; rest > 0; rest -= 4) {
    const numbers = loadNumbers(at, min(rest, 4))
    low = addWideSquares(numbers, low)
    high = addWideSquares(v128.shuffle<i32>(numbers, numbers, 2, 3, 2, 3), high)
    at += 16
  }
  const sums = f64x2.add(low, high)
  return f64x2.extract_lane(sums, 0) + f64x2.extract_lane(sums, 1)
}

/** Whether a float32 sum of squares neither overflowed nor lost bits to underflow; false for NaN. */
@inline
export function isSafe(sum: f32): bool {
  return sum >= SAFE_LENGTH_MIN * SAFE_LENGTH_MIN && sum < Infinity
}
