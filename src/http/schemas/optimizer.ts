import { type Static, Type } from 'typebox'
import { refuse } from '../../core/errors.ts'
import type { Constraint as ConstraintSetting, Optimizer } from '../../core/types.ts'
import { CLOSED } from './scalars.ts'

const Constraint = Type.Union(
  [
    Type.Object({ kind: Type.Literal('max_norm'), value: Type.Number({ exclusiveMinimum: 0 }) }, CLOSED),
    Type.Object({ kind: Type.Literal('unit_norm') }, CLOSED),
    Type.Object({ kind: Type.Literal('non_negative') }, CLOSED),
  ],
  { description: 'Applied to the touched rows after each step' },
)

const common = {
  learning_rate: Type.Optional(Type.Number({ minimum: 0, description: 'Default 0.01, for adam 0.001' })),
  weight_decay: Type.Optional(
    Type.Number({ minimum: 0, description: 'Added to the gradient of touched rows (coupled)' }),
  ),
  constraint: Type.Optional(Constraint),
  max_norm: Type.Optional(
    Type.Number({ exclusiveMinimum: 0, description: 'Short for the constraint max_norm' }),
  ),
}
const lazy = {
  lazy: Type.Optional(
    Type.Literal(true, { description: 'Only touched rows move; there is no other way here' }),
  ),
}
const epsilon = (value: number) => Type.Optional(Type.Number({ minimum: 0, default: value }))
const accumulator = {
  initial_accumulator: Type.Optional(Type.Number({ minimum: 0, default: 0 })),
  epsilon_inside_sqrt: Type.Optional(Type.Boolean({ default: false })),
}
const beta = (value: number) =>
  Type.Optional(Type.Number({ minimum: 0, exclusiveMaximum: 1, default: value }))

/** An optimizer as clients write it: everything but the kind has a default. */
export const OptimizerInput = Type.Union(
  [
    Type.Object({ kind: Type.Literal('sgd'), ...common }, CLOSED),
    Type.Object(
      {
        kind: Type.Literal('momentum'),
        ...common,
        momentum: Type.Optional(Type.Number({ minimum: 0, default: 0 })),
        nesterov: Type.Optional(Type.Boolean({ default: false })),
        ...lazy,
      },
      CLOSED,
    ),
    Type.Object(
      { kind: Type.Literal('adagrad'), ...common, ...accumulator, epsilon: epsilon(1e-10) },
      CLOSED,
    ),
    Type.Object(
      { kind: Type.Literal('rowwise_adagrad'), ...common, ...accumulator, epsilon: epsilon(1e-8) },
      CLOSED,
    ),
    Type.Object(
      {
        kind: Type.Literal('adam'),
        ...common,
        beta1: beta(0.9),
        beta2: beta(0.999),
        epsilon: epsilon(1e-8),
        ...lazy,
      },
      CLOSED,
    ),
  ],
  { description: 'How gradients become steps. Without one: sgd with learning_rate 0.01' },
)

/**
 * The defaults of PyTorch: 1e-3 of SparseAdam, 1e-2 of Adagrad. sgd and momentum have no usable default
 * there and take Adagrad's.
 */
const defaultRate = (kind: Optimizer['kind']): number => (kind === 'adam' ? 0.001 : 0.01)

/** The optimizer with every default written out: PyTorch's, and FBGEMM's for rowwise_adagrad. */
export const completeOptimizer = (input: Static<typeof OptimizerInput>): Optimizer => {
  const { learning_rate = defaultRate(input.kind), weight_decay } = input
  const constraint = completeConstraint(input)
  const shared = {
    learning_rate,
    ...(weight_decay !== undefined && { weight_decay }),
    ...(constraint && { constraint }),
  }
  switch (input.kind) {
    case 'sgd':
      return { kind: 'sgd', ...shared }
    case 'momentum':
      return { kind: 'momentum', ...shared, momentum: input.momentum ?? 0, nesterov: input.nesterov ?? false }
    case 'adagrad':
    case 'rowwise_adagrad':
      return {
        kind: input.kind,
        ...shared,
        initial_accumulator: input.initial_accumulator ?? 0,
        epsilon: input.epsilon ?? (input.kind === 'adagrad' ? 1e-10 : 1e-8),
        epsilon_inside_sqrt: input.epsilon_inside_sqrt ?? false,
      }
    case 'adam':
      return {
        kind: 'adam',
        ...shared,
        beta1: input.beta1 ?? 0.9,
        beta2: input.beta2 ?? 0.999,
        epsilon: input.epsilon ?? 1e-8,
      }
  }
}

const completeConstraint = ({
  constraint,
  max_norm,
}: Static<typeof OptimizerInput>): ConstraintSetting | undefined => {
  if (max_norm === undefined) return constraint
  if (constraint === undefined) return { kind: 'max_norm', value: max_norm }
  return refuse('INVALID_REQUEST', 'an optimizer has either max_norm or a constraint', {
    errors: [{ pointer: '/optimizer/max_norm', detail: 'stands beside a constraint' }],
  })
}
