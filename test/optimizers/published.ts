/**
 * What is published of each optimizer kind: its codes on disk, and one step by the formula of its library.
 * To add a kind, add an entry; it must have an example.
 */
import type { Optimizer } from '../../src/core/types.ts'

/** One row after a step from w = [1, 2, 3, 4] with summed gradients [.4, .3, .1, .9]. */
interface Example {
  /** Completes the sentence "One step reproduces ..". */
  name: string
  optimizer: Optimizer
  /** The number of the step; 1 by default. */
  step?: number
  row: number[]
}

interface Published {
  kind: string
  /**
   * The journal code and the snapshot code that releases have written, for a kind with state. A change here
   * makes their directories unreadable.
   */
  codes?: [number, string]
  examples: [Example, ...Example[]]
}

const adagrad = {
  kind: 'adagrad',
  learning_rate: 0.1,
  initial_accumulator: 0,
  epsilon: 1e-10,
  epsilon_inside_sqrt: false,
} as const
const rowwise = { ...adagrad, kind: 'rowwise_adagrad', epsilon: 1e-8 } as const
const momentum = { kind: 'momentum', learning_rate: 0.1, momentum: 0.9, nesterov: false } as const

/** All kinds, in the order of their list. */
export const PUBLISHED: readonly Published[] = [
  {
    kind: 'sgd',
    examples: [
      { name: 'sgd', optimizer: { kind: 'sgd', learning_rate: 0.1 }, row: [0.96, 1.97, 2.99, 3.91] },
    ],
  },
  {
    kind: 'momentum',
    codes: [1, 'momentum'],
    examples: [
      { name: 'momentum, whose first step is plain sgd', optimizer: momentum, row: [0.96, 1.97, 2.99, 3.91] },
      {
        name: 'Nesterov momentum, which looks ahead',
        optimizer: { ...momentum, nesterov: true },
        row: [0.924, 1.943, 2.981, 3.829],
      },
    ],
  },
  {
    kind: 'adagrad',
    codes: [2, 'adagrad'],
    examples: [
      { name: "torch's Adagrad", optimizer: adagrad, row: [0.9, 1.9, 2.9, 3.9] },
      {
        name: 'the Adagrad of Keras and optax with their settings',
        optimizer: { ...adagrad, initial_accumulator: 0.1, epsilon: 1e-7, epsilon_inside_sqrt: true },
        row: [0.921553561, 1.931175298, 2.969848879, 3.90565437],
      },
    ],
  },
  {
    kind: 'rowwise_adagrad',
    codes: [3, 'rowwise_adagrad'],
    examples: [
      {
        name: "FBGEMM's row-wise Adagrad, with the mean of squares of the row",
        optimizer: rowwise,
        row: [0.922661082, 1.941995812, 2.980665271, 3.825987435],
      },
      {
        name: 'row-wise Adagrad with coupled weight decay',
        optimizer: { ...rowwise, weight_decay: 0.01 },
        row: [0.924223351, 1.940857249, 2.975973258, 3.82626817],
      },
    ],
  },
  {
    kind: 'adam',
    codes: [4, 'adam'],
    examples: [
      {
        name: "torch's SparseAdam, with epsilon added to the uncorrected root",
        optimizer: { kind: 'adam', learning_rate: 0.1, beta1: 0.9, beta2: 0.999, epsilon: 1e-8 },
        row: [0.900000079, 1.900000105, 2.900000316, 3.900000035],
      },
    ],
  },
]
