import type { KindDeclaration } from './kind.ts'

const BETA = { minimum: 0, exclusiveMaximum: 1 } as const

/**
 * Adam as torch's SparseAdam defines it: only touched rows change, and epsilon is added to the root of v
 * before bias correction.
 */
export const adam: KindDeclaration<{ beta1: number; beta2: number; epsilon: number }> = {
  kind: 'adam',
  learningRate: 0.001,
  defaults: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 },
  ranges: { beta1: BETA, beta2: BETA, epsilon: { minimum: 0 } },
  acceptsLazy: true,
  state: {
    journalCode: 4,
    snapshotCode: 'adam',
    tensors: [
      { name: 'm', width: 'dim' },
      { name: 'v', width: 'dim' },
    ],
    countsSteps: true,
    initial: () => 0,
  },
  step(kernels, { beta1, beta2, epsilon }, rate, rows) {
    const { step, dim } = rows
    const size = (rate * Math.sqrt(1 - beta2 ** step)) / (1 - beta1 ** step)
    return kernels.stepRows('stepAdam', rows, 2 * dim, size, 1 - beta1, 1 - beta2, epsilon)
  },
}
