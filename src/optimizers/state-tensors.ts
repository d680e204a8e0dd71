/**
 * The state of an optimizer: float32 numbers for each row of the table, packed into one state row. Clients
 * export and upload it as named tensors, each of which takes the same columns of every state row.
 */
import type { Optimizer } from '../core/types.ts'
import { findKind } from './kind-index.ts'
import { OPTIMIZER_KINDS } from './kinds.ts'

export interface StateTensor {
  name: string
  shape: number[]
  /** Columns `from`..`from + width` of the state rows. */
  from: number
  width: number
}

type Named = Pick<Optimizer, 'kind'>

/** Arrays of a safetensors body whose names begin so are optimizer state. */
export const STATE_PREFIX = 'optimizer/'
/** The scalar beside the tensors of a kind that counts its gradient steps. */
export const STEP_NAME = `${STATE_PREFIX}step`

/** Whether an optimizer of this kind keeps state. */
export const hasState = ({ kind }: Named): boolean => findKind(kind).state !== null

/** Whether the count of gradient steps is part of its state. */
export const countsSteps = ({ kind }: Named): boolean => findKind(kind).state?.countsSteps ?? false

/** The tensors of a kind for a table of rows x dim, in the order of their columns; none without state. */
export const stateTensors = (kind: string, rows: number, dim: number): StateTensor[] => {
  let from = 0
  return (findKind(kind).state?.tensors ?? []).map(({ name, width: each }) => {
    const width = each === 'dim' ? dim : 1
    const tensor = { name: STATE_PREFIX + name, shape: each === 'dim' ? [rows, dim] : [rows], from, width }
    from += width
    return tensor
  })
}

/** Float32 numbers of state per row. */
export const stateLength = ({ kind }: Named, dim: number): number =>
  stateTensors(kind, 0, dim).reduce((sum, { width }) => sum + width, 0)

/** The value of a state number of a row that no gradient has touched. */
export const stateInitial = (optimizer: Optimizer): number =>
  Math.fround(findKind(optimizer.kind).state?.initial(optimizer) ?? 0)

/**
 * Which tensors each kind exports, in Markdown: a phrase for each set of tensors, with the kinds that have
 * it.
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
