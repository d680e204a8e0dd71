import type { KindDeclaration } from './kind.ts'

/** SGD with momentum as torch defines it: a buffer for each weight, optionally with Nesterov's look-ahead. */
export const momentum: KindDeclaration<{ momentum: number; nesterov: boolean }> = {
  kind: 'momentum',
  learningRate: 0.01,
  defaults: { momentum: 0, nesterov: false },
  ranges: { momentum: { minimum: 0 }, nesterov: {} },
  acceptsLazy: true,
  state: {
    journalCode: 1,
    snapshotCode: 'momentum',
    tensors: [{ name: 'momentum', width: 'dim' }],
    countsSteps: false,
    initial: () => 0,
  },
  step: (kernels, { momentum, nesterov }, rate, rows) =>
    kernels.stepNumbers('stepMomentum', rows, 1, rate, momentum, nesterov),
}
