import { assert } from '../core/assert.ts'
import type { Constraint, Optimizer } from '../core/types.ts'

/**
 * One step of each optimizer on packed float32 rows: the reference whose operation order is the contract.
 * Every operation is rounded to float32 (a Float32Array store rounds; Math.fround where a value is used again), no fused
 * multiply-add, so a SIMD kernel can equal it to the bit. Formulas and defaults: torch, and FBGEMM for rowwise_adagrad.
 */

const f = Math.fround

/** Float32 numbers of optimizer state per row. */
export const stateLength = (optimizer: Optimizer, dim: number): number => {
  switch (optimizer.kind) {
    case 'sgd': return 0
    case 'momentum': return dim
    case 'adagrad': return dim
    case 'rowwise_adagrad': return 1
    case 'adam': return 2 * dim
  }
}

/** What a state number is before the row was first touched. */
export const stateInitial = (optimizer: Optimizer): number =>
  optimizer.kind === 'adagrad' || optimizer.kind === 'rowwise_adagrad' ? optimizer.initial_accumulator : 0

export interface StepRows {
  /** count x dim weights: read and replaced. */
  weights: Float32Array
  /** count x dim gradients, equal rows already summed; replaced when weight decay adds to them. */
  gradients: Float32Array
  /** count x stateLength: read and replaced. */
  state: Float32Array
  count: number
  dim: number
  /** Gradient steps of the table including this one, from 1. */
  step: number
}

/** Applies one step of `optimizer` to every row of `rows`, then its constraint. `learningRate` stands in for the optimizer's own. */
export const applyStep = (optimizer: Optimizer, learningRate: number | undefined, rows: StepRows): void => {
  const rate = f(learningRate ?? optimizer.learning_rate)
  assert(rows.state.length >= rows.count * stateLength(optimizer, rows.dim), 'state covers the rows')
  if (optimizer.weight_decay) addDecay(rows, f(optimizer.weight_decay))
  switch (optimizer.kind) {
    case 'sgd': stepSgd(rows, rate); break
    case 'momentum': stepMomentum(rows, rate, f(optimizer.momentum), optimizer.nesterov); break
    case 'adagrad': stepAdagrad(rows, rate, f(optimizer.epsilon), optimizer.epsilon_inside_sqrt); break
    case 'rowwise_adagrad': stepRowwiseAdagrad(rows, rate, f(optimizer.epsilon), optimizer.epsilon_inside_sqrt); break
    case 'adam': stepAdam(rows, learningRate ?? optimizer.learning_rate, optimizer); break
  }
  if (optimizer.constraint) for (let row = 0; row < rows.count; row++) constrain(rows, row, optimizer.constraint)
}

/** Coupled decay, torch's L2 form: g += decay * w. */
const addDecay = ({ weights, gradients, count, dim }: StepRows, decay: number): void => {
  for (let i = 0; i < count * dim; i++) gradients[i] += f(decay * weights[i])
}

const stepSgd = ({ weights, gradients, count, dim }: StepRows, rate: number): void => {
  for (let i = 0; i < count * dim; i++) weights[i] -= f(rate * gradients[i])
}

/** torch SGD with momentum, dampening 0: b = mu b + g; w -= lr b, or with nesterov w -= lr (g + mu b). */
const stepMomentum = ({ weights, gradients, state, count, dim }: StepRows, rate: number, momentum: number, nesterov: boolean): void => {
  for (let i = 0; i < count * dim; i++) {
    state[i] = f(momentum * state[i]) + gradients[i]
    const direction = nesterov ? f(gradients[i] + f(momentum * state[i])) : state[i]
    weights[i] -= f(rate * direction)
  }
}

const stepAdagrad = ({ weights, gradients, state, count, dim }: StepRows, rate: number, epsilon: number, inside: boolean): void => {
  for (let i = 0; i < count * dim; i++) {
    const gradient = gradients[i]
    state[i] += f(gradient * gradient)
    const root = inside ? f(Math.sqrt(f(state[i] + epsilon))) : f(f(Math.sqrt(state[i])) + epsilon)
    weights[i] -= f(f(rate * gradient) / root)
  }
}

/** FBGEMM's: one accumulator per row, the mean of g^2 over the row. */
const stepRowwiseAdagrad = ({ weights, gradients, state, count, dim }: StepRows, rate: number, epsilon: number, inside: boolean): void => {
  for (let row = 0; row < count; row++) {
    let squares = 0
    for (let i = row * dim; i < (row + 1) * dim; i++) squares = f(squares + f(gradients[i] * gradients[i]))
    state[row] += f(squares / dim)
    const root = inside ? f(Math.sqrt(f(state[row] + epsilon))) : f(f(Math.sqrt(state[row])) + epsilon)
    for (let i = row * dim; i < (row + 1) * dim; i++) weights[i] -= f(f(rate * gradients[i]) / root)
  }
}

/** torch SparseAdam: lazy, epsilon added to the uncorrected root. m lies before v in a state row. */
const stepAdam = (
  { weights, gradients, state, count, dim, step }: StepRows,
  learningRate: number,
  { beta1, beta2, epsilon: eps }: { beta1: number; beta2: number; epsilon: number },
): void => {
  const size = f((learningRate * Math.sqrt(1 - beta2 ** step)) / (1 - beta1 ** step))
  const keep1 = f(1 - beta1)
  const keep2 = f(1 - beta2)
  const epsilon = f(eps)
  for (let row = 0; row < count; row++) {
    for (let column = 0; column < dim; column++) {
      const gradient = gradients[row * dim + column]
      const m = row * 2 * dim + column
      const v = m + dim
      state[m] += f(keep1 * f(gradient - state[m]))
      state[v] += f(keep2 * f(f(gradient * gradient) - state[v]))
      weights[row * dim + column] -= f(f(size * state[m]) / f(f(Math.sqrt(state[v])) + epsilon))
    }
  }
}

/** After the step, on a touched row. Norms are Euclidean, summed in float32 in column order. */
const constrain = ({ weights, dim }: StepRows, row: number, constraint: Constraint): void => {
  const first = row * dim
  if (constraint.kind === 'non_negative') {
    for (let i = first; i < first + dim; i++) if (weights[i] < 0) weights[i] = 0
    return
  }
  let squares = 0
  for (let i = first; i < first + dim; i++) squares = f(squares + f(weights[i] * weights[i]))
  const norm = f(Math.sqrt(squares))
  const target = constraint.kind === 'unit_norm' ? 1 : f(constraint.value ?? 1)
  // A zero row has no direction: unit_norm leaves it.
  if (norm === 0 || (constraint.kind === 'max_norm' && norm <= target)) return
  for (let i = first; i < first + dim; i++) weights[i] = f(weights[i] * target) / norm
}
