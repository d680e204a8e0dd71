/** The schema of an optimizer as clients write it, derived from the declarations of the kinds. */
import { Type } from 'typebox'
import { DEFAULT_OPTIMIZER, type OptimizerInput as Input } from '../../optimizers/complete.ts'
import type { OptimizerKind } from '../../optimizers/kind.ts'
import { OPTIMIZER_KINDS } from '../../optimizers/kinds.ts'
import { CONSTRAINT_KINDS, SHARED_RANGES } from '../../optimizers/regularization.ts'
import { CLOSED, titleOf } from './scalars.ts'

const Constraint = Type.Union(
  CONSTRAINT_KINDS.map(({ kind, value }) =>
    Type.Object(
      { kind: Type.Literal(kind), ...(value && { value: Type.Number({ ...value }) }) },
      { ...CLOSED, title: titleOf(kind, 'Constraint') },
    ),
  ),
  { title: 'Constraint', description: 'Applied to the touched rows after each step' },
)

/** The default learning rate in words, and those of the kinds that have another one. */
const describeRates = (): string => {
  const { learning_rate: usual } = DEFAULT_OPTIMIZER
  const others = OPTIMIZER_KINDS.filter(({ learningRate }) => learningRate !== usual)
  return [`Default ${usual}`, ...others.map(({ kind, learningRate }) => `for ${kind} ${learningRate}`)].join(
    ', ',
  )
}

const shared = {
  learning_rate: Type.Optional(Type.Number({ ...SHARED_RANGES.learning_rate, description: describeRates() })),
  weight_decay: Type.Optional(Type.Number(SHARED_RANGES.weight_decay)),
  constraint: Type.Optional(Constraint),
  max_norm: Type.Optional(Type.Number(SHARED_RANGES.max_norm)),
}
const lazy = {
  lazy: Type.Optional(Type.Literal(true, { description: 'Only touched rows change; no other mode exists' })),
}

const describeKind = ({ kind, ranges, defaults, acceptsLazy }: OptimizerKind) => {
  const own = Object.entries(ranges).map(([name, facts]) => {
    const options = { ...facts, default: defaults[name] }
    const schema = typeof defaults[name] === 'boolean' ? Type.Boolean(options) : Type.Number(options)
    return [name, Type.Optional(schema)] as const
  })
  const members = {
    kind: Type.Literal(kind),
    ...shared,
    ...Object.fromEntries(own),
    ...(acceptsLazy && lazy),
  }
  return Type.Object(members, { ...CLOSED, title: titleOf(kind, 'Optimizer') })
}

/** An optimizer as clients write it: everything but the kind has a default. */
export const OptimizerInput = Type.Unsafe<Input>(
  Type.Union(OPTIMIZER_KINDS.map(describeKind), {
    title: 'Optimizer',
    description:
      `The rule that turns gradients into steps. Default: ${DEFAULT_OPTIMIZER.kind} ` +
      `with learning_rate ${DEFAULT_OPTIMIZER.learning_rate}`,
  }),
)
