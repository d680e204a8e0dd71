/**
 * Every optimizer kind has two things beside its own formula: weight decay, which is added to the gradients
 * before a step, and a constraint, which touched rows obey after it.
 */
import { assert } from '../core/assert.ts'
import type { Constraint, Optimizer } from '../core/types.ts'
import type { StepKernels } from '../kernels/apply.ts'
import type { ParameterFacts, StepRows } from './kind.ts'

interface ConstraintKind {
  kind: string
  /** The range of its `value`; null for a constraint that has none. */
  value: ParameterFacts | null
  apply(kernels: StepKernels, constraint: Constraint, rows: StepRows): void
}

/** All constraints, in the order in which the schema lists them. */
export const CONSTRAINT_KINDS: readonly ConstraintKind[] = [
  {
    kind: 'max_norm',
    value: { exclusiveMinimum: 0 },
    apply: (kernels, { value = 1 }, { weightsAt, rowCount, dim }) =>
      kernels.limitNorms('max', weightsAt, rowCount, dim, value),
  },
  {
    kind: 'unit_norm',
    value: null,
    apply: (kernels, _constraint, { weightsAt, rowCount, dim }) =>
      kernels.limitNorms('unit', weightsAt, rowCount, dim, 1),
  },
  {
    kind: 'non_negative',
    value: null,
    apply: (kernels, _constraint, { weightsAt, rowCount, dim }) =>
      kernels.clampNegative(weightsAt, rowCount * dim),
  },
]

/** Ranges of the members that every optimizer may have, whatever its kind. */
export const SHARED_RANGES = {
  learning_rate: { minimum: 0 },
  weight_decay: { minimum: 0, description: 'Added to the gradient of touched rows (coupled)' },
  max_norm: { exclusiveMinimum: 0, description: 'Short for the constraint max_norm' },
} as const satisfies Record<string, ParameterFacts>

/** Adds the weight decay of `optimizer` to the gradients: coupled, torch's L2 form. */
export const addWeightDecay = (
  kernels: StepKernels,
  { weight_decay: decay }: Optimizer,
  { weightsAt, gradientsAt, rowCount, dim }: StepRows,
): void => {
  if (decay) kernels.addDecay(weightsAt, gradientsAt, rowCount * dim, decay)
}

/** Brings the rows within `constraint`. */
export const applyConstraint = (kernels: StepKernels, constraint: Constraint, rows: StepRows): void => {
  const found = CONSTRAINT_KINDS.find(({ kind }) => kind === constraint.kind)
  assert(found !== undefined, 'a constraint is of a kind that is listed')
  found.apply(kernels, constraint, rows)
}
