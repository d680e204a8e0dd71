/**
 * The state of an optimizer: float32 numbers for each row of the table, packed into one state row. Clients
 * export and upload it as named tensors, each of which is a range of columns of all state rows.
 */
import type { Optimizer } from '../core/types.ts'
import { findKind } from './kind-index.ts'
import { OPTIMIZER_KINDS } from './kinds.ts'

export interface StateTensor {
  name: string
  shape: number[]
  /** The tensor takes columns `from`..`from + width` of the state rows. */
  from: number
  width: number
}

type Named = Pick<Optimizer, 'kind'>

/** Prefix of the names of optimizer state in a safetensors body. */
export const STATE_PREFIX = 'optimizer/'
/** The name of the scalar that a kind that counts its gradient steps exports with its tensors. */
export const STEP_NAME = `${STATE_PREFIX}step`

/** True if an optimizer of this kind keeps state. */
export const hasState = ({ kind }: Named): boolean => findKind(kind).state !== null

/** True if the count of gradient steps is part of its state. */
export const countsSteps = ({ kind }: Named): boolean => findKind(kind).state?.countsSteps ?? false

/**
 * Returns the tensors of a kind for a table of rows x dim, in the order of their columns; empty if it has no
 * state.
 */
export const stateTensors = (kind: string, rows: number, dim: number): StateTensor[] => {
  let from = 0
  return (findKind(kind).state?.tensors ?? []).map(({ name, width: each }) => {
    const width = each === 'dim' ? dim : 1
    const tensor = { name: STATE_PREFIX + name, shape: each === 'dim' ? [rows, dim] : [rows], from, width }
    from += width
    return tensor
  })
}

/** Returns the count of float32 state numbers of each row. */
export const stateLength = ({ kind }: Named, dim: number): number =>
  stateTensors(kind, 0, dim).reduce((sum, { width }) => sum + width, 0)

/** Returns the initial value of a state number of a row. */
export const stateInitial = (optimizer: Optimizer): number =>
  Math.fround(findKind(optimizer.kind).state?.initial(optimizer) ?? 0)

/**
 * Lists the tensors that each kind exports, in Markdown: one phrase for each set of tensors, followed by the
 * kinds that have it.
 */
export const describeStates = (): string[] => {
  const kindsByTensors = new Map<string, string[]>()
  for (const { kind, state } of OPTIMIZER_KINDS) {
    if (state === null) continue
    const names = state.tensors
      .map(({ name }) => STATE_PREFIX + name)
      .concat(state.countsSteps ? STEP_NAME : [])
    const quoted = names.map((name) => `\`${name}\``)
    const tensors = [quoted.slice(0, -1).join(', '), quoted.at(-1)].filter(Boolean).join(' and ')
    const isOnePerRow = state.tensors.every(({ width }) => width === 'one')
    const kinds = kindsByTensors.get(tensors) ?? []
    kindsByTensors.set(tensors, [...kinds, isOnePerRow ? `of ${kind} one number per row` : kind])
  }
  return [...kindsByTensors].map(([tensors, kinds]) => `${tensors} (${kinds.join('; ')})`)
}
