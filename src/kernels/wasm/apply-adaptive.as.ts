/**
 * The optimizer steps that divide a gradient by the root of past squares. They are called and computed like
 * those of apply.as.ts.
 */
import {
  isSafe, loadNumbers, nonFiniteBits, storeNumbers, sumSquares, sumSquaresWide,
} from './row-numbers.as'

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
