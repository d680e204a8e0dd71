import { refuse } from '../core/errors.ts'
import type { Constraint, Optimizer } from '../core/types.ts'
import { findKind } from './kind-index.ts'
import { DEFAULT_KIND, EXAMPLE_KIND } from './kinds.ts'

/**
 * An optimizer as clients write it, already checked against the schema: everything but the kind has a
 * default.
 */
export interface OptimizerInput {
  kind: string
  learning_rate?: number
  weight_decay?: number
  constraint?: Constraint
  /** Short for the constraint of that name. */
  max_norm?: number
  readonly [parameter: string]: unknown
}

/** The optimizer with every default of its kind written out. Refuses INVALID_REQUEST for two constraints. */
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
  return refuse('INVALID_REQUEST', 'an optimizer has either max_norm or a constraint', {
    errors: [{ pointer: '/optimizer/max_norm', detail: 'stands beside a constraint' }],
  })
}

/** The optimizer of a table whose creator chose none. */
export const DEFAULT_OPTIMIZER: Optimizer = completeOptimizer({ kind: DEFAULT_KIND.kind })

/** The optimizer that examples in the documentation use. */
export const EXAMPLE_OPTIMIZER: OptimizerInput = { kind: EXAMPLE_KIND.kind, learning_rate: 0.05 }
