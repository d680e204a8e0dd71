/**
 * Applies one optimizer step in place to float32 rows that are packed in the arena: weights, summed gradients
 * and state. The formulas and the order of operations are those of reference/optimizer.ts: every operation
 * rounds to float32 and none is fused. Four numbers are processed at a time; the last one to three go through
 * the same operations, with zeros beside them that are not stored. A step returns true if a weight or state
 * that it writes is not finite: x - x is zero unless x is infinite or NaN.
 */
import { isSafe, loadNumbers, storeNumbers, sumSquares, sumSquaresWide } from './row-numbers.as'

/**
 * Returns lanes with bits set if any of the first `count` (1..4) numbers is not finite. The lanes after them
 * are ignored, because they may hold anything, such as the NaN of zero divided by zero.
 */
@inline
function nonFiniteBits(numbers: v128, count: i32): v128 {
  const nonFinite = f32x4.sub(numbers, numbers)
  if (count == 4) return nonFinite
  if (count == 1) return v128.and(nonFinite, i32x4(-1, 0, 0, 0))
  return v128.and(nonFinite, count == 2 ? i32x4(-1, -1, 0, 0) : i32x4(-1, -1, -1, 0))
}

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

/** sqrt(s) + epsilon, or (inside) sqrt(s + epsilon). */
@inline
function rootOf(sums: v128, epsilons: v128, inside: bool): v128 {
  return inside ? f32x4.sqrt(f32x4.add(sums, epsilons)) : f32x4.add(f32x4.sqrt(sums), epsilons)
}

/** w -= (rate * g) / root. */
@inline
function divideLanes(count: i32, weightsAt: usize, gradients: v128, rates: v128, roots: v128): v128 {
  const change = f32x4.div(f32x4.mul(rates, gradients), roots)
  const weights = f32x4.sub(loadNumbers(weightsAt, count), change)
  storeNumbers(weightsAt, weights, count)
  return nonFiniteBits(weights, count)
}

/** s += g * g; w -= (rate * g) / root. */
@inline
function adagradLanes(
  count: i32, weightsAt: usize, gradientsAt: usize, stateAt: usize, rates: v128, epsilons: v128, inside: bool,
): v128 {
  const gradients = loadNumbers(gradientsAt, count)
  const sums = f32x4.add(loadNumbers(stateAt, count), f32x4.mul(gradients, gradients))
  storeNumbers(stateAt, sums, count)
  return v128.or(nonFiniteBits(sums, count),
    divideLanes(count, weightsAt, gradients, rates, rootOf(sums, epsilons, inside)))
}

/** Takes an Adagrad step. */
export function stepAdagrad(
  weightsAt: usize, gradientsAt: usize, stateAt: usize, count: i32, rate: f32, epsilon: f32, inside: bool,
): bool {
  const rates = f32x4.splat(rate)
  let nonFinite = i32x4.splat(0)
  const epsilons = f32x4.splat(epsilon)
  for (; count >= 4; count -= 4) {
    nonFinite = v128.or(nonFinite, adagradLanes(4, weightsAt, gradientsAt, stateAt, rates, epsilons, inside))
    weightsAt += 16
    gradientsAt += 16
    stateAt += 16
  }
  if (count > 0) nonFinite = v128.or(nonFinite,
    adagradLanes(count, weightsAt, gradientsAt, stateAt, rates, epsilons, inside))
  return v128.any_true(nonFinite)
}

/** Returns the mean of the squares of a row; the sum may be beyond float32. */
@inline
function meanSquare(at: usize, dim: i32): f32 {
  const sum = sumSquares(at, dim)
  return isSafe(sum) ? sum / <f32>dim : <f32>(sumSquaresWide(at, dim) / <f64>dim)
}

/** One accumulator per row: s += sum(g * g) / dim; w -= (rate * g) / root. */
export function stepRowwiseAdagrad(
  weightsAt: usize, gradientsAt: usize, stateAt: usize, rowCount: i32, dim: i32, rate: f32, epsilon: f32,
  inside: bool,
): bool {
  const rates = f32x4.splat(rate)
  let nonFinite = i32x4.splat(0)
  const epsilons = f32x4.splat(epsilon)
  for (let row = 0; row < rowCount; row++) {
    const sum = load<f32>(stateAt) + meanSquare(gradientsAt, dim)
    store<f32>(stateAt, sum)
    stateAt += 4
    nonFinite = v128.or(nonFinite, nonFiniteBits(f32x4.splat(sum), 4))
    const roots = rootOf(f32x4.splat(sum), epsilons, inside)
    let rest = dim
    for (; rest >= 4; rest -= 4) {
      nonFinite = v128.or(nonFinite, divideLanes(4, weightsAt, v128.load(gradientsAt), rates, roots))
      weightsAt += 16
      gradientsAt += 16
    }
    if (rest > 0) nonFinite = v128.or(nonFinite,
      divideLanes(rest, weightsAt, loadNumbers(gradientsAt, rest), rates, roots))
    weightsAt += <usize>rest << 2
    gradientsAt += <usize>rest << 2
  }
  return v128.any_true(nonFinite)
}

/** m += keep1 * (g - m); v += keep2 * (g * g - v); w -= (size * m) / (sqrt(v) + epsilon). */
@inline
function adamLanes(
  count: i32, weightsAt: usize, gradientsAt: usize, mAt: usize, vAt: usize, sizes: v128, keeps1: v128,
  keeps2: v128, epsilons: v128,
): v128 {
  const gradients = loadNumbers(gradientsAt, count)
  const oldM = loadNumbers(mAt, count)
  const oldV = loadNumbers(vAt, count)
  const m = f32x4.add(oldM, f32x4.mul(keeps1, f32x4.sub(gradients, oldM)))
  const v = f32x4.add(oldV, f32x4.mul(keeps2, f32x4.sub(f32x4.mul(gradients, gradients), oldV)))
  storeNumbers(mAt, m, count)
  storeNumbers(vAt, v, count)
  const nonFinite = v128.or(nonFiniteBits(m, count), nonFiniteBits(v, count))
  return v128.or(nonFinite, divideLanes(count, weightsAt, m, sizes, rootOf(v, epsilons, false)))
}

/** Takes an Adam step. A state row holds its m, then its v. */
export function stepAdam(
  weightsAt: usize, gradientsAt: usize, stateAt: usize, rowCount: i32, dim: i32, size: f32, keep1: f32,
  keep2: f32, epsilon: f32,
): bool {
  let nonFinite = i32x4.splat(0)
  const sizes = f32x4.splat(size)
  const keeps1 = f32x4.splat(keep1)
  const keeps2 = f32x4.splat(keep2)
  const epsilons = f32x4.splat(epsilon)
  const rowBytes = <usize>dim << 2
  for (let row = 0; row < rowCount; row++) {
    let at: usize = 0
    let rest = dim
    for (; rest >= 4; rest -= 4) {
      const mAt = stateAt + at
      nonFinite = v128.or(nonFinite,
        adamLanes(4, weightsAt + at, gradientsAt + at, mAt, mAt + rowBytes, sizes, keeps1, keeps2, epsilons))
      at += 16
    }
    if (rest > 0) {
      const mAt = stateAt + at
      nonFinite = v128.or(nonFinite,
        adamLanes(rest, weightsAt + at, gradientsAt + at, mAt, mAt + rowBytes, sizes, keeps1, keeps2,
        epsilons))
    }
    weightsAt += rowBytes
    gradientsAt += rowBytes
    stateAt += rowBytes << 1
  }
  return v128.any_true(nonFinite)
}
