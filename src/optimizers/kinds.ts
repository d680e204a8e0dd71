/** The list of optimizer kinds. To add a kind, add a file to this folder and an entry to the list. */
import { adagrad } from './adagrad.ts'
import { adam } from './adam.ts'
import type { OptimizerKind } from './kind.ts'
import { momentum } from './momentum.ts'
import { rowwiseAdagrad } from './rowwise-adagrad.ts'
import { sgd } from './sgd.ts'

/** All kinds, in the order in which the schema lists them. */
export const OPTIMIZER_KINDS: readonly OptimizerKind[] = [sgd, momentum, adagrad, rowwiseAdagrad, adam]

/** The kind of a table whose creator did not choose one. */
export const DEFAULT_KIND: OptimizerKind = sgd

/** The kind that the examples in the documentation use. */
export const EXAMPLE_KIND: OptimizerKind = adagrad
