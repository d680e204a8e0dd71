/** The kernels of optimizer steps and constraints. */
import { assert } from '../core/assert.ts'
import { assertCount, makeBounds } from './bounds.ts'
import { NORM_CODES } from './codes.ts'
import { instantiateModule } from './compiled-modules.ts'

/** The norm constraint: `max` changes rows above the limit, `unit` all rows that differ from it. */
export type Norm = keyof typeof NORM_CODES

/**
 * Optimizer steps on float32 rows packed in an arena, whose results replace their inputs. Arguments that end
 * in `At` are byte addresses of the arena, multiples of 4; coefficients are rounded to float32. Every
 * operation rounds to float32 and none is fused; the bits of a NaN depend on the processor. Regions do not
 * overlap. The kernels allocate nothing and write only the regions named. Arguments are asserted in O(1). A
 * method whose name begins with `step` returns true if every weight and all state that it wrote are finite.
 */
export interface StepKernels {
  /** Adds weight decay: g += decay * w. */
  addDecay(weightsAt: number, gradientsAt: number, count: number, decay: number): void
  /** Takes a step of plain gradient descent: w -= rate * g. */
  stepSgd(weightsAt: number, gradientsAt: number, count: number, rate: number): boolean
  /**
   * Takes a step of SGD with momentum: b = momentum * b + g; w -= rate * b, or (nesterov) w -= rate * (g +
   * momentum * b).
   */
  stepMomentum(
    weightsAt: number,
    gradientsAt: number,
    stateAt: number,
    count: number,
    rate: number,
    momentum: number,
    nesterov: boolean,
  ): boolean
  /**
   * Takes an Adagrad step: s += g * g; w -= (rate * g) / (sqrt(s) + epsilon), or (inside) / sqrt(s +
   * epsilon).
   */
  stepAdagrad(
    weightsAt: number,
    gradientsAt: number,
    stateAt: number,
    count: number,
    rate: number,
    epsilon: number,
    inside: boolean,
  ): boolean
  /**
   * Takes an Adagrad step with one s for each row: s += sum(g * g) / dim. Squares are summed as in {@link
   * limitNorms}.
   */
  stepRowwiseAdagrad(
    weightsAt: number,
    gradientsAt: number,
    stateAt: number,
    rowCount: number,
    dim: number,
    rate: number,
    epsilon: number,
    inside: boolean,
  ): boolean
  /**
   * Takes an Adam step: m += keep1 * (g - m); v += keep2 * (g * g - v); w -= (size * m) / (sqrt(v) +
   * epsilon). A state row holds its m, then its v.
   */
  stepAdam(
    weightsAt: number,
    gradientsAt: number,
    stateAt: number,
    rowCount: number,
    dim: number,
    size: number,
    keep1: number,
    keep2: number,
    epsilon: number,
  ): boolean
  /** Sets numbers below zero to zero. */
  clampNegative(weightsAt: number, count: number): void
  /**
   * Scales rows whose Euclidean length is above `limit` (max) or differs from it (unit): w = (w * limit) /
   * length. Rows of length zero are left unchanged; a row that is not finite becomes NaN. Squares are summed
   * in four lanes: lane j adds up the columns j, j+4, j+8, .. in ascending order, and the sum is (lane 0 +
   * lane 2) + (lane 1 + lane 3). A sum that is infinite or below SAFE_LENGTH_MIN squared is taken again in
   * float64; the row is then scaled in float64 and rounded once, as it is for a limit below SAFE_LENGTH_MIN.
   */
  limitNorms(norm: Norm, weightsAt: number, rowCount: number, dim: number, limit: number): void
}

type Numbers = (...values: number[]) => number
type Exports = Record<keyof StepKernels, Numbers>

/** Asserts that `count` numbers from each of these addresses on lie within the arena. */
type CheckRegions = (count: number, ...addresses: number[]) => void

const makeCheck = (arenaBytes: number): CheckRegions => {
  const bounds = makeBounds(0, arenaBytes)
  return (count, ...addresses) => {
    assertCount(count)
    for (const at of addresses) {
      assert(at % 4 === 0, 'numbers are aligned')
      bounds.region(at, count * 4)
    }
  }
}

const makeSteps = (exports: Exports, check: CheckRegions): StepKernels => ({
  addDecay(weightsAt, gradientsAt, count, decay) {
    check(count, weightsAt, gradientsAt)
    exports.addDecay(weightsAt, gradientsAt, count, decay)
  },
  stepSgd(weightsAt, gradientsAt, count, rate) {
    check(count, weightsAt, gradientsAt)
    return exports.stepSgd(weightsAt, gradientsAt, count, rate) === 0
  },
  stepMomentum(weightsAt, gradientsAt, stateAt, count, rate, momentum, nesterov) {
    check(count, weightsAt, gradientsAt, stateAt)
    return (
      exports.stepMomentum(weightsAt, gradientsAt, stateAt, count, rate, momentum, Number(nesterov)) === 0
    )
  },
  stepAdagrad(weightsAt, gradientsAt, stateAt, count, rate, epsilon, inside) {
    check(count, weightsAt, gradientsAt, stateAt)
    return exports.stepAdagrad(weightsAt, gradientsAt, stateAt, count, rate, epsilon, Number(inside)) === 0
  },
  stepRowwiseAdagrad(weightsAt, gradientsAt, stateAt, rowCount, dim, rate, epsilon, inside) {
    assertCount(dim)
    check(rowCount, stateAt)
    check(rowCount * dim, weightsAt, gradientsAt)
    return (
      exports.stepRowwiseAdagrad(
        weightsAt,
        gradientsAt,
        stateAt,
        rowCount,
        dim,
        rate,
        epsilon,
        Number(inside),
      ) === 0
    )
  },
  stepAdam(weightsAt, gradientsAt, stateAt, rowCount, dim, size, keep1, keep2, epsilon) {
    assertCount(rowCount)
    assertCount(dim)
    check(rowCount * dim, weightsAt, gradientsAt)
    check(rowCount * dim * 2, stateAt)
    return exports.stepAdam(weightsAt, gradientsAt, stateAt, rowCount, dim, size, keep1, keep2, epsilon) === 0
  },
  clampNegative(weightsAt, count) {
    check(count, weightsAt)
    exports.clampNegative(weightsAt, count)
  },
  limitNorms(norm, weightsAt, rowCount, dim, limit) {
    assertCount(rowCount)
    assertCount(dim)
    check(rowCount * dim, weightsAt)
    exports.limitNorms(NORM_CODES[norm], weightsAt, rowCount, dim, limit)
  },
})

/** Instantiates the kernels over an arena of `memories.ts`. */
export const instantiateApplyKernels = (arena: WebAssembly.Memory): StepKernels => {
  const exports = instantiateModule<Exports>('apply', { arena })
  return makeSteps(exports, makeCheck(arena.buffer.byteLength))
}
