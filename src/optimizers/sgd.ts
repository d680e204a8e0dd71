import type { KindDeclaration } from './kind.ts'

/** Plain gradient descent. torch has no usable default learning rate for it, so it has that of Adagrad. */
export const sgd: KindDeclaration<Record<never, never>> = {
  kind: 'sgd',
  learningRate: 0.01,
  defaults: {},
  ranges: {},
  acceptsLazy: false,
  state: null,
  step: (kernels, _optimizer, rate, rows) => kernels.stepNumbers('stepSgd', rows, 0, rate),
}
