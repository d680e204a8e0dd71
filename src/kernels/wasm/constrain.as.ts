/**
 * Applies a constraint in place to float32 rows that are packed in the arena. The operations and their order
 * are those of reference/optimizer.ts.
 */
import { Norm, SAFE_LENGTH_MIN } from './codes.as'
import { isSafe, loadNumbers, storeNumbers, sumSquares, sumSquaresWide } from './row-numbers.as'

@inline
function clampLanes(count: i32, at: usize): void {
  const weights = loadNumbers(at, count)
  storeNumbers(at, v128.andnot(weights, f32x4.lt(weights, i32x4.splat(0))), count)
}

/** Sets numbers below zero to zero. */
export function clampNegative(weightsAt: usize, count: i32): void {
  for (; count >= 4; count -= 4) {
    clampLanes(4, weightsAt)
    weightsAt += 16
  }
  if (count > 0) clampLanes(count, weightsAt)
}

@inline
function scaleLanes(count: i32, at: usize, limits: v128, lengths: v128): void {
  storeNumbers(at, f32x4.div(f32x4.mul(loadNumbers(at, count), limits), lengths), count)
}

/** Scales a row as {@link limitNorms} does, in float64. A row that is not finite becomes NaN. */
function limitWide(norm: Norm, at: usize, dim: i32, limit: f64): void {
  const length = sqrt<f64>(sumSquaresWide(at, dim))
  if (length == 0 || (norm == Norm.Max && length <= limit)) return
  const divisor = length < Infinity ? length : NaN
  for (let k = 0; k < dim; k++, at += 4) store<f32>(at, <f32>(<f64>load<f32>(at) * limit / divisor))
}

/**
 * Scales rows whose length violates the constraint: w = (w * limit) / length. Zero rows are left unchanged; a
 * row that is not finite becomes NaN. Lengths and limits for which the squares or the products leave float32
 * are computed in float64.
 */
export function limitNorms(norm: Norm, weightsAt: usize, rowCount: i32, dim: i32, limit: f32): void {
  const limits = f32x4.splat(limit)
  for (let row = 0; row < rowCount; row++) {
    let at = weightsAt + (<usize>row * <usize>dim << 2)
    const sum = sumSquares(at, dim)
    if (!isSafe(sum) || limit < SAFE_LENGTH_MIN) {
      limitWide(norm, at, dim, limit)
      continue
    }
    const length = sqrt<f32>(sum)
    if (norm == Norm.Max && length <= limit) continue
    const lengths = f32x4.splat(length)
    let rest = dim
    for (; rest >= 4; rest -= 4) {
      scaleLanes(4, at, limits, lengths)
      at += 16
    }
    if (rest > 0) scaleLanes(rest, at, limits, lengths)
  }
}
