import type { Optimizer } from '../core/types.ts'

/**
 * What optimizer state is: float32 numbers per row of the table, packed into one state row. Out of the service, and into it, it goes as
 * named tensors, each of which takes the same columns of every state row.
 */
export interface StateTensor {
  name: string
  shape: number[]
  /** Columns `from`..`from + width` of the state rows. */
  from: number
  width: number
}

/** Arrays of a safetensors body whose names begin so are optimizer state. */
export const STATE_PREFIX = 'optimizer/'
/** Gradient steps taken so far, which adam counts: a scalar beside its tensors. */
export const STEP_NAME = `${STATE_PREFIX}step`

/** The state of an optimizer for a table of rows x dim, in the order of its columns; none for sgd. */
export const stateTensors = (kind: Optimizer['kind'], rows: number, dim: number): StateTensor[] => {
  const tensor = (name: string, from = 0): StateTensor => ({
    name: STATE_PREFIX + name,
    shape: [rows, dim],
    from,
    width: dim,
  })
  switch (kind) {
    case 'sgd':
      return []
    case 'momentum':
      return [tensor('momentum')]
    case 'adagrad':
      return [tensor('accumulator')]
    case 'rowwise_adagrad':
      return [{ name: `${STATE_PREFIX}accumulator`, shape: [rows], from: 0, width: 1 }]
    case 'adam':
      return [tensor('m'), tensor('v', dim)]
  }
}

/** Float32 numbers of state per row. */
export const stateLength = ({ kind }: { kind: Optimizer['kind'] }, dim: number): number =>
  stateTensors(kind, 0, dim).reduce((sum, { width }) => sum + width, 0)

/** What a number of state is before the row was first touched. */
export const stateInitial = (optimizer: Optimizer): number =>
  optimizer.kind === 'adagrad' || optimizer.kind === 'rowwise_adagrad'
    ? Math.fround(optimizer.initial_accumulator)
    : 0
