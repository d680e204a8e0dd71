import { ADAGRAD_RANGES, type AdagradParameters } from './adagrad.ts'
import type { KindDeclaration } from './kind.ts'

/** Row-wise Adagrad as FBGEMM defines it: one sum of mean squared gradients for a whole row. */
export const rowwiseAdagrad: KindDeclaration<AdagradParameters> = {
  kind: 'rowwise_adagrad',
  learningRate: 0.01,
  defaults: { initial_accumulator: 0, epsilon: 1e-8, epsilon_inside_sqrt: false },
  ranges: ADAGRAD_RANGES,
  acceptsLazy: false,
  state: {
    journalCode: 3,
    snapshotCode: 'rowwise_adagrad',
    tensors: [{ name: 'accumulator', width: 'one' }],
    countsSteps: false,
    initial: ({ initial_accumulator }) => initial_accumulator,
  },
  step: (kernels, { epsilon, epsilon_inside_sqrt: inside }, rate, rows) =>
    kernels.stepRows('stepRowwiseAdagrad', rows, 1, rate, epsilon, inside),
}
