// One optimizer step on float32 rows that are packed in the arena: weights, summed gradients and state in, what they become out, in place.
// The formulas and the order of operations are those of reference/optimizer.ts: every operation rounds to float32, none is fused.
// Four numbers at a time; the last one to three go through the same operations, with zeros beside them that are not stored.
import { storeLanes } from './rows.as'

/** As in apply.ts. */
const enum Norm { Max, Unit }

/** The first `count` (1..4) numbers at `at`, zeros behind them. In the loops `count` is the constant 4, and nothing is asked. */
@inline
function loadNumbers(at: usize, count: i32): v128 {
  if (count == 4) return v128.load(at)
  if (count == 1) return v128.load_zero<u32>(at)
  const pair = v128.load_zero<u64>(at)
  return count == 2 ? pair : v128.load_lane<u32>(at, pair, 2, 8)
}

@inline
function storeNumbers(at: usize, numbers: v128, count: i32): void {
  if (count == 4) v128.store(at, numbers)
  else storeLanes(at, numbers, count)
}

/** g += decay * w. */
@inline
function decayLanes(count: i32, weightsAt: usize, gradientsAt: usize, decays: v128): void {
  const decayed = f32x4.mul(decays, loadNumbers(weightsAt, count))
  storeNumbers(gradientsAt, f32x4.add(loadNumbers(gradientsAt, count), decayed), count)
}

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
function sgdLanes(count: i32, weightsAt: usize, gradientsAt: usize, rates: v128): void {
  const change = f32x4.mul(rates, loadNumbers(gradientsAt, count))
  storeNumbers(weightsAt, f32x4.sub(loadNumbers(weightsAt, count), change), count)
}

export function stepSgd(weightsAt: usize, gradientsAt: usize, count: i32, rate: f32): void {
  const rates = f32x4.splat(rate)
  for (; count >= 4; count -= 4) {
    sgdLanes(4, weightsAt, gradientsAt, rates)
    weightsAt += 16
    gradientsAt += 16
  }
  if (count > 0) sgdLanes(count, weightsAt, gradientsAt, rates)
}

/** b = momentum * b + g; w -= rate * b, or (nesterov) w -= rate * (g + momentum * b). */
@inline
function momentumLanes(
  count: i32, weightsAt: usize, gradientsAt: usize, stateAt: usize, rates: v128, momenta: v128, nesterov: bool,
): void {
  const gradients = loadNumbers(gradientsAt, count)
  const buffer = f32x4.add(f32x4.mul(momenta, loadNumbers(stateAt, count)), gradients)
  storeNumbers(stateAt, buffer, count)
  const direction = nesterov ? f32x4.add(gradients, f32x4.mul(momenta, buffer)) : buffer
  storeNumbers(weightsAt, f32x4.sub(loadNumbers(weightsAt, count), f32x4.mul(rates, direction)), count)
}

export function stepMomentum(
  weightsAt: usize, gradientsAt: usize, stateAt: usize, count: i32, rate: f32, momentum: f32, nesterov: bool,
): void {
  const rates = f32x4.splat(rate)
  const momenta = f32x4.splat(momentum)
  for (; count >= 4; count -= 4) {
    momentumLanes(4, weightsAt, gradientsAt, stateAt, rates, momenta, nesterov)
    weightsAt += 16
    gradientsAt += 16
    stateAt += 16
  }
  if (count > 0) momentumLanes(count, weightsAt, gradientsAt, stateAt, rates, momenta, nesterov)
}

/** sqrt(s) + epsilon, or (inside) sqrt(s + epsilon). */
@inline
function rootOf(sums: v128, epsilons: v128, inside: bool): v128 {
  return inside ? f32x4.sqrt(f32x4.add(sums, epsilons)) : f32x4.add(f32x4.sqrt(sums), epsilons)
}

/** w -= (rate * g) / root. */
@inline
function divideLanes(count: i32, weightsAt: usize, gradients: v128, rates: v128, roots: v128): void {
  const change = f32x4.div(f32x4.mul(rates, gradients), roots)
  storeNumbers(weightsAt, f32x4.sub(loadNumbers(weightsAt, count), change), count)
}

/** s += g * g; then as above. */
@inline
function adagradLanes(
  count: i32, weightsAt: usize, gradientsAt: usize, stateAt: usize, rates: v128, epsilons: v128, inside: bool,
): void {
  const gradients = loadNumbers(gradientsAt, count)
  const sums = f32x4.add(loadNumbers(stateAt, count), f32x4.mul(gradients, gradients))
  storeNumbers(stateAt, sums, count)
  divideLanes(count, weightsAt, gradients, rates, rootOf(sums, epsilons, inside))
}

export function stepAdagrad(
  weightsAt: usize, gradientsAt: usize, stateAt: usize, count: i32, rate: f32, epsilon: f32, inside: bool,
): void {
  const rates = f32x4.splat(rate)
  const epsilons = f32x4.splat(epsilon)
  for (; count >= 4; count -= 4) {
    adagradLanes(4, weightsAt, gradientsAt, stateAt, rates, epsilons, inside)
    weightsAt += 16
    gradientsAt += 16
    stateAt += 16
  }
  if (count > 0) adagradLanes(count, weightsAt, gradientsAt, stateAt, rates, epsilons, inside)
}

@inline
function addSquares(count: i32, at: usize, sums: v128): v128 {
  const numbers = loadNumbers(at, count)
  return f32x4.add(sums, f32x4.mul(numbers, numbers))
}

/** Lane j of four adds up the squares of the columns j, j+4, j+8, .. in ascending order; the sum is (lane 0 + lane 2) + (lane 1 + lane 3). */
@inline
function sumSquares(at: usize, dim: i32): f32 {
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

/** One accumulator per row: s += sum(g * g) / dim; w -= (rate * g) / root. */
export function stepRowwiseAdagrad(
  weightsAt: usize, gradientsAt: usize, stateAt: usize, rowCount: i32, dim: i32, rate: f32, epsilon: f32, inside: bool,
): void {
  const rates = f32x4.splat(rate)
  const epsilons = f32x4.splat(epsilon)
  for (let row = 0; row < rowCount; row++) {
    const sum = load<f32>(stateAt) + sumSquares(gradientsAt, dim) / <f32>dim
    store<f32>(stateAt, sum)
    stateAt += 4
    const roots = rootOf(f32x4.splat(sum), epsilons, inside)
    let rest = dim
    for (; rest >= 4; rest -= 4) {
      divideLanes(4, weightsAt, v128.load(gradientsAt), rates, roots)
      weightsAt += 16
      gradientsAt += 16
    }
    if (rest > 0) divideLanes(rest, weightsAt, loadNumbers(gradientsAt, rest), rates, roots)
    weightsAt += <usize>rest << 2
    gradientsAt += <usize>rest << 2
  }
}

/** m += keep1 * (g - m); v += keep2 * (g * g - v); w -= (size * m) / (sqrt(v) + epsilon). */
@inline
function adamLanes(
  count: i32, weightsAt: usize, gradientsAt: usize, mAt: usize, vAt: usize, sizes: v128, keeps1: v128, keeps2: v128, epsilons: v128,
): void {
  const gradients = loadNumbers(gradientsAt, count)
  const oldM = loadNumbers(mAt, count)
  const oldV = loadNumbers(vAt, count)
  const m = f32x4.add(oldM, f32x4.mul(keeps1, f32x4.sub(gradients, oldM)))
  const v = f32x4.add(oldV, f32x4.mul(keeps2, f32x4.sub(f32x4.mul(gradients, gradients), oldV)))
  storeNumbers(mAt, m, count)
  storeNumbers(vAt, v, count)
  divideLanes(count, weightsAt, m, sizes, rootOf(v, epsilons, false))
}

/** A state row is its m, then its v. */
export function stepAdam(
  weightsAt: usize, gradientsAt: usize, stateAt: usize, rowCount: i32, dim: i32, size: f32, keep1: f32, keep2: f32, epsilon: f32,
): void {
  const sizes = f32x4.splat(size)
  const keeps1 = f32x4.splat(keep1)
  const keeps2 = f32x4.splat(keep2)
  const epsilons = f32x4.splat(epsilon)
  const rowBytes = <usize>dim << 2
  for (let row = 0; row < rowCount; row++) {
    let at: usize = 0
    let rest = dim
    for (; rest >= 4; rest -= 4) {
      adamLanes(4, weightsAt + at, gradientsAt + at, stateAt + at, stateAt + rowBytes + at, sizes, keeps1, keeps2, epsilons)
      at += 16
    }
    if (rest > 0) adamLanes(rest, weightsAt + at, gradientsAt + at, stateAt + at, stateAt + rowBytes + at, sizes, keeps1, keeps2, epsilons)
    weightsAt += rowBytes
    gradientsAt += rowBytes
    stateAt += rowBytes << 1
  }
}

@inline
function clampLanes(count: i32, at: usize): void {
  const weights = loadNumbers(at, count)
  storeNumbers(at, v128.andnot(weights, f32x4.lt(weights, i32x4.splat(0))), count)
}

/** Numbers below zero become zero. */
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

/** Rows whose length is not as it must be: w = (w * limit) / length. Zero rows stay; a length beyond float32 makes NaN. */
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
