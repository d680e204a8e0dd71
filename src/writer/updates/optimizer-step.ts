import type { Constraint, Optimizer } from '../../core/types.ts'
import type { StepKernels } from '../../kernels/apply.ts'

export { stateInitial, stateLength } from '../../layout/state-layout.ts'

/** Rows that take a step. Addresses are bytes of the arena; what the rows become takes their place. */
export interface StepRows {
  /** rowCount x dim float32. */
  weightsAt: number
  /** rowCount x dim float32, gradients of equal rows already summed. Weight decay is added to them. */
  gradientsAt: number
  /** rowCount x stateLength float32. */
  stateAt: number
  rowCount: number
  dim: number
  /** Gradient steps of the table including this one, from 1. */
  step: number
}

/**
 * One step of `optimizer` for every row of `rows`, then its constraint. `learningRate` stands in for the optimizer's own. Formulas and
 * defaults are torch's, and FBGEMM's for rowwise_adagrad; coefficients are computed once in float64, then rounded to float32. Returns whether all
 * weights and state are known to be finite: with a constraint nothing is known.
 */
export const applyStep = (
  kernels: StepKernels,
  optimizer: Optimizer,
  learningRate: number | undefined,
  rows: StepRows,
): boolean => {
  const isFinite = takeStep(kernels, optimizer, learningRate, rows)
  if (!optimizer.constraint) return isFinite
  constrain(kernels, optimizer.constraint, rows)
  return false
}

const takeStep = (
  kernels: StepKernels,
  optimizer: Optimizer,
  learningRate: number | undefined,
  rows: StepRows,
): boolean => {
  const { weightsAt, gradientsAt, stateAt, rowCount, dim } = rows
  const rate = learningRate ?? optimizer.learning_rate
  const count = rowCount * dim
  // Coupled decay, torch's L2 form.
  if (optimizer.weight_decay) kernels.addDecay(weightsAt, gradientsAt, count, optimizer.weight_decay)
  switch (optimizer.kind) {
    case 'sgd':
      return kernels.stepSgd(weightsAt, gradientsAt, count, rate)
    case 'momentum':
      return kernels.stepMomentum(
        weightsAt,
        gradientsAt,
        stateAt,
        count,
        rate,
        optimizer.momentum,
        optimizer.nesterov,
      )
    case 'adagrad':
      return kernels.stepAdagrad(
        weightsAt,
        gradientsAt,
        stateAt,
        count,
        rate,
        optimizer.epsilon,
        optimizer.epsilon_inside_sqrt,
      )
    case 'rowwise_adagrad': {
      const { epsilon, epsilon_inside_sqrt: inside } = optimizer
      return kernels.stepRowwiseAdagrad(weightsAt, gradientsAt, stateAt, rowCount, dim, rate, epsilon, inside)
    }
    case 'adam': {
      // torch SparseAdam: lazy, epsilon added to the uncorrected root.
      const { beta1, beta2, epsilon } = optimizer
      const size = (rate * Math.sqrt(1 - beta2 ** rows.step)) / (1 - beta1 ** rows.step)
      return kernels.stepAdam(
        weightsAt,
        gradientsAt,
        stateAt,
        rowCount,
        dim,
        size,
        1 - beta1,
        1 - beta2,
        epsilon,
      )
    }
  }
}

const constrain = (
  kernels: StepKernels,
  constraint: Constraint,
  { weightsAt, rowCount, dim }: StepRows,
): void => {
  switch (constraint.kind) {
    case 'non_negative':
      kernels.clampNegative(weightsAt, rowCount * dim)
      break
    case 'unit_norm':
      kernels.limitNorms('unit', weightsAt, rowCount, dim, 1)
      break
    case 'max_norm':
      kernels.limitNorms('max', weightsAt, rowCount, dim, constraint.value ?? 1)
  }
}
