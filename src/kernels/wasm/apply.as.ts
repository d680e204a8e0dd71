/**
 * Applies one optimizer step in place to float32 rows that are packed in the arena: weights, summed gradients
 * and state. The formulas and the order of operations are those of reference/optimizer.ts: every operation
 * rounds to float32 and none is fused. Four numbers are processed at a time; the last one to three go through
 * the same operations, with zeros beside them that are not stored. A step returns true if a weight or state
 * that it writes is not finite. apply-adaptive.as.ts has the steps that scale every gradient by past ones.
 */
import { loadNumbers, nonFiniteBits, storeNumbers } from './row-numbers.as'

/** g += decay * w. */
@inline
function decayLanes(count: i32, weightsAt: usize, gradientsAt: usize, decays: v128): void {
  const decayed = f32x4.mul(decays, loadNumbers(weightsAt, count))
  storeNumbers(gradientsAt, f32x4.add(loadNumbers(gradientsAt, count), decayed), count)
}

/** Adds weight decay to the gradients. */
export function addDecay(weightsAt: usize, gradientsAt: usize, count: i32, decay: f32): void {
  const decays = f32x4.splat(decay)
  for (; count >= 4; count -= 4) {
    decayLanes(4, weightsAt, gradientsAt, decays)
    weightsAt += 16
    gradientsAt += 16
  }
  if (count > 0) decayLanes(count, weightsAt, gradientsAt, decays)
}

/** w -= rate * g. */
@inline
function sgdLanes(count: i32, weightsAt: usize, gradientsAt: usize, rates: v128): v128 {
  const change = f32x4.mul(rates, loadNumbers(gradientsAt, count))
  const weights = f32x4.sub(loadNumbers(weightsAt, count), change)
  storeNumbers(weightsAt, weights, count)
  return nonFiniteBits(weights, count)
}

/** Takes a step of plain gradient descent. */
export function stepSgd(weightsAt: usize, gradientsAt: usize, count: i32, rate: f32): bool {
  const rates = f32x4.splat(rate)
  let nonFinite = i32x4.splat(0)
  for (; count >= 16; count -= 16) {
    const first = v128.or(sgdLanes(4, weightsAt, gradientsAt, rates),
      sgdLanes(4, weightsAt + 16, gradientsAt + 16, rates))
    const second = v128.or(sgdLanes(4, weightsAt + 32, gradientsAt + 32, rates),
      sgdLanes(4, weightsAt + 48, gradientsAt + 48, rates))
    nonFinite = v128.or(nonFinite, v128.or(first, second))
    weightsAt += 64
    gradientsAt += 64
  }
  for (; count >= 4; count -= 4) {
    nonFinite = v128.or(nonFinite, sgdLanes(4, weightsAt, gradientsAt, rates))
    weightsAt += 16
    gradientsAt += 16
  }
  if (count > 0) nonFinite = v128.or(nonFinite, sgdLanes(count, weightsAt, gradientsAt, rates))
  return v128.any_true(nonFinite)
}

/** b = momentum * b + g; w -= rate * b, or (nesterov) w -= rate * (g + momentum * b). */
@inline
function momentumLanes(
  count: i32, weightsAt: usize, gradientsAt: usize, stateAt: usize, rates: v128, momenta: v128,
  nesterov: bool,
): v128 {
  const gradients = loadNumbers(gradientsAt, count)
  const buffer = f32x4.add(f32x4.mul(momenta, loadNumbers(stateAt, count)), gradients)
  storeNumbers(stateAt, buffer, count)
  const direction = nesterov ? f32x4.add(gradients, f32x4.mul(momenta, buffer)) : buffer
  const weights = f32x4.sub(loadNumbers(weightsAt, count), f32x4.mul(rates, direction))
  storeNumbers(weightsAt, weights, count)
  return v128.or(nonFiniteBits(buffer, count), nonFiniteBits(weights, count))
}

/** Takes a step of SGD with momentum. */
export function stepMomentum(
  weightsAt: usize, gradientsAt: usize, stateAt: usize, count: i32, rate: f32, momentum: f32, nesterov: bool,
): bool {
  const rates = f32x4.splat(rate)
  let nonFinite = i32x4.splat(0)
  const momenta = f32x4.splat(momentum)
  for (; count >= 4; count -= 4) {
    nonFinite = v128.or(nonFinite,
      momentumLanes(4, weightsAt, gradientsAt, stateAt, rates, momenta, nesterov))
    weightsAt += 16
    gradientsAt += 16
    stateAt += 16
  }
  if (count > 0) nonFinite = v128.or(nonFinite,
    momentumLanes(count, weightsAt, gradientsAt, stateAt, rates, momenta, nesterov))
  return v128.any_true(nonFinite)
}
