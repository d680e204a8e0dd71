/**
 * The reference of the optimizer steps and constraints. Its order of operations is the contract of the
 * kernels, which equal it in every bit: every operation rounds to float32 (a store into a Float32Array
 * rounds; Math.fround rounds a value that is used again) and none is fused. The formulas are those of torch,
 * and of FBGEMM for rowwise_adagrad.
 */
import { makeStepKernels, type StepExports, type StepKernels } from '../apply.ts'
import { NORM_CODES, SAFE_LENGTH_MIN } from '../codes.ts'

const f = Math.fround

/** Returns a view of `count` numbers of the arena from byte `at` on. */
type ViewNumbers = (at: number, count: number) => Float32Array

/**
 * Returns the sum of the squares of a row, in four lanes as {@link StepKernels.limitNorms} defines it, with
 * every operation rounded by `round`.
 */
const sumSquares = (values: Float32Array, round: (value: number) => number): number => {
  const lanes = [0, 0, 0, 0]
  values.forEach((value, column) => {
    lanes[column % 4] = round(lanes[column % 4] + round(value * value))
  })
  return round(round(lanes[0] + lanes[2]) + round(lanes[1] + lanes[3]))
}

/** Returns how the sums of a row are rounded: to float32, or not if the sum overflows or is too small. */
const roundingOf = (values: Float32Array): ((value: number) => number) => {
  const sum = sumSquares(values, f)
  return sum >= SAFE_LENGTH_MIN ** 2 && sum < Infinity ? f : (value) => value
}

/** Returns true if a number is not finite. */
const hasNonFinite = (...numbers: Float32Array[]): boolean =>
  !numbers.every((some) => some.every(Number.isFinite))

const rootOf = (sum: number, epsilon: number, inside: number): number =>
  inside ? f(Math.sqrt(f(sum + epsilon))) : f(f(Math.sqrt(sum)) + epsilon)

/** Creates the reference of the steps and constraints over the bytes of an arena. */
export const makeReferenceSteps = (arena: ArrayBufferLike): StepKernels => {
  const view: ViewNumbers = (at, count) => new Float32Array(arena, at, count)
  const kernels = { ...makeNumberSteps(view), ...makeRowSteps(view), ...makeConstraints(view) }
  return makeStepKernels(kernels, arena.byteLength)
}

/** Creates the steps that process each number independently of its row. */
const makeNumberSteps = (view: ViewNumbers): StepExports => ({
  addDecay(weightsAt, gradientsAt, count, decay) {
    const [weights, gradients] = [view(weightsAt, count), view(gradientsAt, count)]
    for (let i = 0; i < count; i++) gradients[i] += f(f(decay) * weights[i])
  },
  stepSgd(weightsAt, gradientsAt, count, rate) {
    const [weights, gradients] = [view(weightsAt, count), view(gradientsAt, count)]
    for (let i = 0; i < count; i++) weights[i] -= f(f(rate) * gradients[i])
    return hasNonFinite(weights)
  },
  stepMomentum(weightsAt, gradientsAt, stateAt, count, rate, momentum, nesterov) {
    const [weights, gradients, state] = [
      view(weightsAt, count),
      view(gradientsAt, count),
      view(stateAt, count),
    ]
    for (let i = 0; i < count; i++) {
      state[i] = f(f(momentum) * state[i]) + gradients[i]
      const direction = nesterov ? f(gradients[i] + f(f(momentum) * state[i])) : state[i]
      weights[i] -= f(f(rate) * direction)
    }
    return hasNonFinite(weights, state)
  },
  stepAdagrad(weightsAt, gradientsAt, stateAt, count, rate, epsilon, inside) {
    const [weights, gradients, state] = [
      view(weightsAt, count),
      view(gradientsAt, count),
      view(stateAt, count),
    ]
    for (let i = 0; i < count; i++) {
      state[i] += f(gradients[i] * gradients[i])
      weights[i] -= f(f(f(rate) * gradients[i]) / rootOf(state[i], f(epsilon), inside))
    }
    return hasNonFinite(weights, state)
  },
})

/** Creates the steps that depend on where a row begins. */
const makeRowSteps = (view: ViewNumbers): StepExports => ({
  stepRowwiseAdagrad(weightsAt, gradientsAt, stateAt, rowCount, dim, rate, epsilon, inside) {
    const state = view(stateAt, rowCount)
    for (let row = 0; row < rowCount; row++) {
      const [weights, gradients] = [
        view(weightsAt + row * dim * 4, dim),
        view(gradientsAt + row * dim * 4, dim),
      ]
      state[row] += f(sumSquares(gradients, roundingOf(gradients)) / dim)
      const root = rootOf(state[row], f(epsilon), inside)
      for (let k = 0; k < dim; k++) weights[k] -= f(f(f(rate) * gradients[k]) / root)
    }
    return hasNonFinite(view(weightsAt, rowCount * dim), state)
  },
  stepAdam(weightsAt, gradientsAt, stateAt, rowCount, dim, size, keep1, keep2, epsilon) {
    for (let row = 0; row < rowCount; row++) {
      const [weights, gradients] = [
        view(weightsAt + row * dim * 4, dim),
        view(gradientsAt + row * dim * 4, dim),
      ]
      const [m, v] = [view(stateAt + row * dim * 8, dim), view(stateAt + row * dim * 8 + dim * 4, dim)]
      for (let k = 0; k < dim; k++) {
        m[k] += f(f(keep1) * f(gradients[k] - m[k]))
        v[k] += f(f(keep2) * f(f(gradients[k] * gradients[k]) - v[k]))
        weights[k] -= f(f(f(size) * m[k]) / f(f(Math.sqrt(v[k])) + f(epsilon)))
      }
    }
    return hasNonFinite(view(weightsAt, rowCount * dim), view(stateAt, rowCount * dim * 2))
  },
})

const makeConstraints = (view: ViewNumbers): StepExports => ({
  clampNegative(weightsAt, count) {
    const weights = view(weightsAt, count)
    for (let i = 0; i < count; i++) if (weights[i] < 0) weights[i] = 0
  },
  limitNorms(norm, weightsAt, rowCount, dim, limit) {
    for (let row = 0; row < rowCount; row++) {
      const weights = view(weightsAt + row * dim * 4, dim)
      const round = f(limit) < SAFE_LENGTH_MIN ? (value: number): number => value : roundingOf(weights)
      const length = round(Math.sqrt(sumSquares(weights, round)))
      if (length === 0 || (norm === NORM_CODES.max && length <= f(limit))) continue
      const divisor = length < Infinity ? length : NaN
      for (let k = 0; k < dim; k++) weights[k] = round(weights[k] * f(limit)) / divisor
    }
  },
})
