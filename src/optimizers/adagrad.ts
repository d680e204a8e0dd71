/** Adagrad as torch defines it. `rowwise-adagrad.ts` shares the parameters. */
import type { KindDeclaration } from './kind.ts'

/** The parameters of both forms of Adagrad. */
export type AdagradParameters = {
  initial_accumulator: number
  epsilon: number
  epsilon_inside_sqrt: boolean
}

/** The ranges of the parameters of both forms. */
export const ADAGRAD_RANGES = {
  initial_accumulator: { minimum: 0 },
  epsilon_inside_sqrt: {},
  epsilon: { minimum: 0 },
} as const

/** The Adagrad kind, which keeps a sum of squared gradients for each weight. */
export const adagrad: KindDeclaration<AdagradParameters> = {
  kind: 'adagrad',
  learningRate: 0.01,
  defaults: { initial_accumulator: 0, epsilon: 1e-10, epsilon_inside_sqrt: false },
  ranges: ADAGRAD_RANGES,
  acceptsLazy: false,
  state: {
    journalCode: 2,
    snapshotCode: 'adagrad',
    tensors: [{ name: 'accumulator', width: 'dim' }],
    countsSteps: false,
    initial: ({ initial_accumulator }) => initial_accumulator,
  },
  step: (kernels, { epsilon, epsilon_inside_sqrt: inside }, rate, rows) =>
    kernels.stepNumbers('stepAdagrad', rows, 1, rate, epsilon, inside),
}
