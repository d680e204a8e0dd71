// One optimizer step on float32 rows that are packed in the arena: weights, summed gradients and state in,
// what they become out, in place. The formulas and the order of operations are those of
// reference/optimizer.ts: every operation rounds to float32, none is fused. Four numbers at a time; the last
// one to three go through the same operations, with zeros beside them that are not stored. A step returns
// whether a weight or state that it makes is not finite: x - x is zero unless x is infinite or NaN.
import { loadNumbers, storeNumbers, sumSquares } from './row-numbers.as'

/**
 * Bits are set unless the first `count` (1..4) numbers are finite. What stands beside them may be anything:
 * zero by zero, for one.
 */
@inline
function spoilOf(numbers: v128, count: i32): v128 {
  const spoil = f32x4.sub(numbers, numbers)
  if (count == 4) return spoil
  if (count == 1) return v128.and(spoil, i32x4(-1, 0, 0, 0))
  return v128.and(spoil, count == 2 ? i32x4(-1, -1, 0, 0) : i32x4(-1, -1, -1, 0))
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
function sgdLanes(count: i32, weightsAt: usize, gradientsAt: usize, rates: v128): v128 {
  const change = f32x4.mul(rates, loadNumbers(gradientsAt, count))
  const weights = f32x4.sub(loadNumbers(weightsAt, count), change)
  storeNumbers(weightsAt, weights, count)
  return spoilOf(weights, count)
}

export function stepSgd(weightsAt: usize, gradientsAt: usize, count: i32, rate: f32): bool {
  const rates = f32x4.splat(rate)
  let spoil = i32x4.splat(0)
  for (; count >= 16; count -= 16) {
    const first = v128.or(sgdLanes(4, weightsAt, gradientsAt, rates),
      sgdLanes(4, weightsAt + 16, gradientsAt + 16, rates))
    const second = v128.or(sgdLanes(4, weightsAt + 32, gradientsAt + 32, rates),
      sgdLanes(4, weightsAt + 48, gradientsAt + 48, rates))
    spoil = v128.or(spoil, v128.or(first, second))
    weightsAt += 64
    gradientsAt += 64
  }
  for (; count >= 4; count -= 4) {
    spoil = v128.or(spoil, sgdLanes(4, weightsAt, gradientsAt, rates))
    weightsAt += 16
    gradientsAt += 16
  }
  if (count > 0) spoil = v128.or(spoil, sgdLanes(count, weightsAt, gradientsAt, rates))
  return v128.any_true(spoil)
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
  return v128.or(spoilOf(buffer, count), spoilOf(weights, count))
}

export function stepMomentum(
  weightsAt: usize, gradientsAt: usize, stateAt: usize, count: i32, rate: f32, momentum: f32, nesterov: bool,
): bool {
  const rates = f32x4.splat(rate)
  let spoil = i32x4.splat(0)
  const momenta = f32x4.splat(momentum)
  for (; count >= 4; count -= 4) {
    spoil = v128.or(spoil, momentumLanes(4, weightsAt, gradientsAt, stateAt, rates, momenta, nesterov))
    weightsAt += 16
    gradientsAt += 16
    stateAt += 16
  }
  if (count > 0) spoil = v128.or(spoil,
    momentumLanes(count, weightsAt, gradientsAt, stateAt, rates, momenta, nesterov))
  return v128.any_true(spoil)
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
  return spoilOf(weights, count)
}

/** s += g * g; then as above. */
@inline
function adagradLanes(
  count: i32, weightsAt: usize, gradientsAt: usize, stateAt: usize, rates: v128, epsilons: v128, inside: bool,
): v128 {
  const gradients = loadNumbers(gradientsAt, count)
  const sums = f32x4.add(loadNumbers(stateAt, count), f32x4.mul(gradients, gradients))
  storeNumbers(stateAt, sums, count)
  return v128.or(spoilOf(sums, count),
    divideLanes(count, weightsAt, gradients, rates, rootOf(sums, epsilons, inside)))
}

export function stepAdagrad(
  weightsAt: usize, gradientsAt: usize, stateAt: usize, count: i32, rate: f32, epsilon: f32, inside: bool,
): bool {
  const rates = f32x4.splat(rate)
  let spoil = i32x4.splat(0)
  const epsilons = f32x4.splat(epsilon)
  for (; count >= 4; count -= 4) {
    spoil = v128.or(spoil, adagradLanes(4, weightsAt, gradientsAt, stateAt, rates, epsilons, inside))
    weightsAt += 16
    gradientsAt += 16
    stateAt += 16
  }
  if (count > 0) spoil = v128.or(spoil,
    adagradLanes(count, weightsAt, gradientsAt, stateAt, rates, epsilons, inside))
  return v128.any_true(spoil)
}

/** One accumulator per row: s += sum(g * g) / dim; w -= (rate * g) / root. */
export function stepRowwiseAdagrad(
  weightsAt: usize, gradientsAt: usize, stateAt: usize, rowCount: i32, dim: i32, rate: f32, epsilon: f32,
  inside: bool,
): bool {
  const rates = f32x4.splat(rate)
  let spoil = i32x4.splat(0)
  const epsilons = f32x4.splat(epsilon)
  for (let row = 0; row < rowCount; row++) {
    const sum = load<f32>(stateAt) + sumSquares(gradientsAt, dim) / <f32>dim
    store<f32>(stateAt, sum)
    stateAt += 4
    spoil = v128.or(spoil, spoilOf(f32x4.splat(sum), 4))
    const roots = rootOf(f32x4.splat(sum), epsilons, inside)
    let rest = dim
    for (; rest >= 4; rest -= 4) {
      spoil = v128.or(spoil, divideLanes(4, weightsAt, v128.load(gradientsAt), rates, roots))
      weightsAt += 16
      gradientsAt += 16
    }
    if (rest > 0) spoil = v128.or(spoil,
      divideLanes(rest, weightsAt, loadNumbers(gradientsAt, rest), rates, roots))
    weightsAt += <usize>rest << 2
    gradientsAt += <usize>rest << 2
  }
  return v128.any_true(spoil)
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
  const spoil = v128.or(spoilOf(m, count), spoilOf(v, count))
  return v128.or(spoil, divideLanes(count, weightsAt, m, sizes, rootOf(v, epsilons, false)))
}

/** A state row is its m, then its v. */
export function stepAdam(
  weightsAt: usize, gradientsAt: usize, stateAt: usize, rowCount: i32, dim: i32, size: f32, keep1: f32,
  keep2: f32, epsilon: f32,
): bool {
  let spoil = i32x4.splat(0)
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
      spoil = v128.or(spoil,
        adamLanes(4, weightsAt + at, gradientsAt + at, mAt, mAt + rowBytes, sizes, keeps1, keeps2, epsilons))
      at += 16
    }
    if (rest > 0) {
      const mAt = stateAt + at
      spoil = v128.or(spoil,
        adamLanes(rest, weightsAt + at, gradientsAt + at, mAt, mAt + rowBytes, sizes, keeps1, keeps2,
        epsilons))
    }
    weightsAt += rowBytes
    gradientsAt += rowBytes
    stateAt += rowBytes << 1
  }
  return v128.any_true(spoil)
}
