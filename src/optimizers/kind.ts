/**
 * The declaration of an optimizer kind. One file a kind fills it in, `kinds.ts` lists them, and everything
 * else (types, schema, defaults, exported tensors, codes on disk) is derived from that list.
 */
import type { Optimizer } from '../core/types.ts'
import type { StepKernels } from '../kernels/apply.ts'

/** Rows that take a step. Addresses are bytes of the arena; the step writes its results in place. */
export interface StepRows {
  /** rowCount x dim float32. */
  weightsAt: number
  /**
   * rowCount x dim float32, gradients of equal rows already summed. Weight decay is added to them in place.
   */
  gradientsAt: number
  /** rowCount x stateLength float32. */
  stateAt: number
  rowCount: number
  dim: number
  /** Gradient steps of the table including this one, from 1. */
  step: number
}

/** The range of a parameter as JSON Schema states it, and its description. */
export interface ParameterFacts {
  minimum?: number
  exclusiveMinimum?: number
  exclusiveMaximum?: number
  description?: string
}

/** Values of the parameters that one kind alone has, by their names on the wire. */
export type Parameters = Readonly<Record<string, number | boolean>>

/** A named part of the state: `dim` numbers for each row of the table, or one. */
export interface TensorDeclaration {
  /** Clients see it as `optimizer/<name>`. */
  name: string
  width: 'dim' | 'one'
}

/**
 * State of one kind, kept for each row of the table. A non-finite gradient always makes the state non-finite.
 */
export interface StateDeclaration<O extends Optimizer = Optimizer> {
  /** Byte 7 of a journal record, 1 to 255. A code that was used once is never given to another kind. */
  journalCode: number
  /** `state_kind` in the header of a snapshot. As permanent as the journal's code. */
  snapshotCode: string
  /** In the order of the columns of a state row; at least one. */
  tensors: readonly TensorDeclaration[]
  /** Whether the count of gradient steps is part of the state, and is exported with the tensors. */
  countsSteps: boolean
  /** The value of every state number of a row that no gradient has touched. */
  initial(optimizer: O): number
}

/**
 * One kind of optimizer. `O` is an optimizer of this kind, with its parameters `P`; the list of kinds knows
 * neither.
 */
export interface OptimizerKind<P extends Parameters = Parameters, O extends Optimizer = Optimizer> {
  /** Its name on the wire and in stored settings. */
  kind: string
  /** The learning rate where the client gives none. */
  learningRate: number
  /** Defaults of its own parameters, in the order in which settings are stored and answered. */
  defaults: P
  /** Ranges of the same parameters, in the order in which the schema lists them. */
  ranges: Readonly<Record<keyof P, ParameterFacts>>
  /**
   * Whether clients may say `lazy: true`, as other libraries let them choose between a lazy and a dense form.
   */
  acceptsLazy: boolean
  /** null: the kind keeps no state. */
  state: StateDeclaration<O> | null
  /**
   * Takes one step by the kernels, or by their reference, which have the same interface. Returns whether all
   * weights and state that it wrote are finite.
   */
  step(kernels: StepKernels, optimizer: O, rate: number, rows: StepRows): boolean
}

/** The declaration of a kind with the parameters `P`, as its file writes it. */
export type KindDeclaration<P extends Parameters> = OptimizerKind<P, Optimizer & P>
