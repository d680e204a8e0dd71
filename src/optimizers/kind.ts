/**
 * The declaration of an optimizer kind. One file per kind fills it in, `kinds.ts` lists them, and everything
 * else (types, schema, defaults, exported tensors, codes on disk) is derived from that list.
 */
import type { Optimizer } from '../core/types.ts'
import type { StepKernels, StepRegions } from '../kernels/apply.ts'

/**
 * The rows that take a step, which writes its results in place. The gradients of equal rows are already
 * summed, and weight decay is added to them in place.
 */
export interface StepRows extends StepRegions {
  /** The number of this gradient step of the table, counted from 1. */
  step: number
}

/** The range of a parameter in the terms of JSON Schema, and its description. */
export interface ParameterFacts {
  minimum?: number
  exclusiveMinimum?: number
  exclusiveMaximum?: number
  description?: string
}

/** The values of the parameters that only one kind has, by their names on the wire. */
export type Parameters = Readonly<Record<string, number | boolean>>

/** A named part of the state, with either `dim` numbers or one number for each row of the table. */
export interface TensorDeclaration {
  /** The name without its prefix; clients see `optimizer/<name>`. */
  name: string
  width: 'dim' | 'one'
}

/**
 * The state that one kind keeps for each row of the table. A non-finite gradient always makes the state
 * non-finite.
 */
export interface StateDeclaration<O extends Optimizer = Optimizer> {
  /** Byte 7 of a journal record, 1 to 255. A code that was used once is never given to another kind. */
  journalCode: number
  /** `state_kind` in the header of a snapshot. It is as permanent as the journal code. */
  snapshotCode: string
  /** The tensors of the state, at least one, in the order of the columns of a state row. */
  tensors: readonly TensorDeclaration[]
  /** True if the count of gradient steps is part of the state and is exported with the tensors. */
  countsSteps: boolean
  /** Returns the initial value of every state number of a row. */
  initial(optimizer: O): number
}

/**
 * One kind of optimizer. `O` is an optimizer of this kind and `P` its parameters; the list of kinds abstracts
 * from both.
 */
export interface OptimizerKind<P extends Parameters = Parameters, O extends Optimizer = Optimizer> {
  /** The name of the kind on the wire and in stored settings. */
  kind: string
  /** The learning rate that applies if the client sends none. */
  learningRate: number
  /** The defaults of its own parameters, in the order in which settings are stored and returned. */
  defaults: P
  /** The ranges of the same parameters, in the order in which the schema lists them. */
  ranges: Readonly<Record<keyof P, ParameterFacts>>
  /**
   * True if clients may send `lazy: true`, as they can in libraries that offer both a lazy and a dense form.
   */
  acceptsLazy: boolean
  /** The state of the kind, or null if it keeps none. */
  state: StateDeclaration<O> | null
  /**
   * Takes one step with the kernels, or with their reference, which has the same interface. Returns true if
   * all weights and state that it wrote are finite.
   */
  step(kernels: StepKernels, optimizer: O, rate: number, rows: StepRows): boolean
}

/** The declaration of a kind with the parameters `P`, as written in the file of the kind. */
export type KindDeclaration<P extends Parameters> = OptimizerKind<P, Optimizer & P>
