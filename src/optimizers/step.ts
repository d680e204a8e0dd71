import type { Optimizer } from '../core/types.ts'
import type { StepKernels } from '../kernels/apply.ts'
import type { StepRows } from './kind.ts'
import { findKind } from './kind-index.ts'
import { addWeightDecay, applyConstraint } from './regularization.ts'

/**
 * One step of `optimizer` for every row of `rows`, then its constraint. `learningRate` replaces the
 * optimizer's own. Formulas and defaults are those of torch, or of the library that a kind's file names;
 * coefficients are computed once in float64, then rounded to float32. Returns whether all weights and state
 * are known to be finite; after a constraint that is unknown.
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
