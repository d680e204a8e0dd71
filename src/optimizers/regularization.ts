/**
 * The parts of a step that every optimizer kind shares: weight decay, which is added to the gradients before
 * the step, and a constraint, which is applied to the touched rows after it.
 */
import { assert } from '../core/assert.ts'
import type { Constraint, Optimizer } from '../core/types.ts'
import type { StepKernels } from '../kernels/apply.ts'
import type { ParameterFacts, StepRows } from './kind.ts'

interface ConstraintKind {
  kind: string
  /** The range of its `value`, or null if the constraint takes none. */
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

/** The ranges of the members that optimizers of every kind may have. */
export const SHARED_RANGES = {
  learning_rate: { minimum: 0 },
  weight_decay: { minimum: 0, description: 'Added to the gradient of touched rows (coupled)' },
  max_norm: { exclusiveMinimum: 0, description: 'Short for the constraint max_norm' },
} as const satisfies Record<string, ParameterFacts>

/** Adds the weight decay of `optimizer` to the gradients. This is the coupled form, torch's L2. */
export const addWeightDecay = (
  kernels: StepKernels,
  { weight_decay: decay }: Optimizer,
  { weightsAt, gradientsAt, rowCount, dim }: StepRows,
): void => {
  if (decay) kernels.addDecay(weightsAt, gradientsAt, rowCount * dim, decay)
}

/** Applies `constraint` to the rows. */
export const applyConstraint = (kernels: StepKernels, constraint: Constraint, rows: StepRows): void => {
  const found = CONSTRAINT_KINDS.find(({ kind }) => kind === constraint.kind)
  assert(found !== undefined, 'the kind of a constraint is listed in CONSTRAINT_KINDS')
  found.apply(kernels, constraint, rows)
}
