/** Fills in the defaults of an optimizer that a client sent. */
import { refuse } from '../core/errors.ts'
import type { Constraint, Optimizer } from '../core/types.ts'
import { findKind } from './kind-index.ts'
import { DEFAULT_KIND, EXAMPLE_KIND } from './kinds.ts'

/**
 * An optimizer as a client sends it, already validated against the schema. Every member except the kind has a
 * default.
 */
export interface OptimizerInput {
  kind: string
  learning_rate?: number
  weight_decay?: number
  constraint?: Constraint
  /** Short form of the constraint with that name. */
  max_norm?: number
  readonly [parameter: string]: unknown
}

/**
 * Returns the optimizer with every default of its kind filled in. Refuses INVALID_REQUEST if it has two
 * constraints.
 */
export const completeOptimizer = (input: OptimizerInput): Optimizer => {
  const { learningRate, defaults } = findKind(input.kind)
  const { kind, learning_rate = learningRate, weight_decay } = input
  const constraint = completeConstraint(input)
  const parameters = Object.entries(defaults).map(([name, value]) => [name, input[name] ?? value])
  return {
    kind,
    learning_rate,
    ...(weight_decay !== undefined && { weight_decay }),
    ...(constraint && { constraint }),
    ...Object.fromEntries(parameters),
  }
}

const completeConstraint = ({ constraint, max_norm }: OptimizerInput): Constraint | undefined => {
  if (max_norm === undefined) return constraint
  if (constraint === undefined) return { kind: 'max_norm', value: max_norm }
  return refuse('INVALID_REQUEST', 'an optimizer has both max_norm and a constraint; send only one of them', {
    errors: [{ pointer: '/optimizer/max_norm', detail: 'cannot be combined with a constraint' }],
  })
}

/** The optimizer of a table whose creator did not choose one. */
export const DEFAULT_OPTIMIZER: Optimizer = completeOptimizer({ kind: DEFAULT_KIND.kind })

/** The optimizer that the examples in the documentation use. */
export const EXAMPLE_OPTIMIZER: OptimizerInput = { kind: EXAMPLE_KIND.kind, learning_rate: 0.05 }
