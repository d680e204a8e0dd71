import type { Optimizer } from '../core/types.ts'
import type { StepKernels } from '../kernels/apply.ts'
import type { StepRows } from './kind.ts'
import { findKind } from './kind-index.ts'
import { addWeightDecay, applyConstraint } from './regularization.ts'

/**
 * Takes one step of `optimizer` for every row of `rows`, then applies its constraint. `learningRate`
 * overrides that of the optimizer. Formulas and defaults are those of torch, or of the library that the file
 * of the kind names; coefficients are computed once in float64, then rounded to float32. Returns true if all
 * weights and state are known to be finite, which they are not after a constraint.
 */
export const applyStep = (
  kernels: StepKernels,
  optimizer: Optimizer,
  learningRate: number | undefined,
  rows: StepRows,
): boolean => {
  addWeightDecay(kernels, optimizer, rows)
  const rate = learningRate ?? optimizer.learning_rate
  const isFinite = findKind(optimizer.kind).step(kernels, optimizer, rate, rows)
  if (!optimizer.constraint) return isFinite
  applyConstraint(kernels, optimizer.constraint, rows)
  return false
}
