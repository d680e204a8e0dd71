/**
 * Applies a constraint in place to float32 rows that are packed in the arena. The operations and their order
 * are those of reference/optimizer.ts.
 */
import { Norm } from './codes.as'
import { loadNumbers, storeNumbers, sumSquares } from './row-numbers.as'

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

/**
 * Scales rows whose length violates the constraint: w = (w * limit) / length. Zero rows are left unchanged; a
 * length beyond float32 turns the row into NaN.
 */
export function limitNorms(norm: Norm, weightsAt: usize, rowCount: i32, dim: i32, limit: f32): void {
  const limits = f32x4.splat(limit)
  for (let row = 0; row < rowCount; row++) {
    let at = weightsAt + (<usize>row * <usize>dim << 2)
    const length = sqrt<f32>(sumSquares(at, dim))
    if (length == 0 || (norm == Norm.Max && length <= limit)) continue
    const lengths = f32x4.splat(length == Infinity ? NaN : length)
    let rest = dim
    for (; rest >= 4; rest -= 4) {
      scaleLanes(4, at, limits, lengths)
      at += 16
    }
    if (rest > 0) scaleLanes(rest, at, limits, lengths)
  }
}
