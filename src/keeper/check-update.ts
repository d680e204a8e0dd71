import { refuse } from '../core/errors.ts'
import type { Settings } from '../core/types.ts'
import type { Arena } from '../tables/arena.ts'
import { pointerTo } from '../tables/resolve.ts'
import type { UpdateArguments } from './protocol.ts'
import type { KeeperTable } from './tables.ts'

/** What the front checked before, of a table that it may have known in another state. Refuses DTYPE_MISMATCH, SHAPE_MISMATCH, INDEX_OUT_OF_RANGE. */
export const checkUpdate = (table: KeeperTable, { indices, values, operation }: UpdateArguments): void => {
  const { rows, dim, dtype } = table.current.handle
  if (dtype === 'int8') refuse('DTYPE_MISMATCH', 'int8 tables take no updates; upload the table again, or keep it as float16 or bfloat16')
  if (values.length !== indices.length * dim) {
    refuse('SHAPE_MISMATCH', `${indices.length} rows of dim ${dim} are ${indices.length * dim} values, got ${values.length} (${operation})`)
  }
  for (let i = 0; i < indices.length; i++) {
    if (indices[i] < 0 || indices[i] >= rows) {
      refuse('INDEX_OUT_OF_RANGE', `index ${indices[i]} at position ${i} is outside 0..${rows - 1}`, {
        errors: [{ pointer: `/indices/${i}`, detail: `${indices[i]} is outside 0..${rows - 1}` }],
      })
    }
  }
}

/**
 * Whether a value that is not finite would show in the rows or the state that come of it, which are checked anyway: a second look at all values
 * is a tenth of an update. Not in the row that gradients never change, nor below a constraint that puts a number in its place.
 */
export const showsInResult = ({ optimizer, padding_index }: Settings, { operation }: UpdateArguments): boolean =>
  operation === 'gradients' && padding_index === null && (optimizer.kind !== 'sgd' || optimizer.constraint === undefined)

/** Refuses NON_FINITE for values as they came, at `valuesAt` of the arena. */
export const checkFinite = (arena: Arena, table: KeeperTable, update: UpdateArguments, valuesAt: number): void => {
  const bad = table.current.table.kernels(arena.memory)[0].finite(valuesAt, update.values.length)
  if (bad >= 0) refuseValue(table, update, bad)
}

/** Refuses NON_FINITE naming the first value that is not finite, if there is one. */
export const refuseNonFinite = (table: KeeperTable, update: UpdateArguments): void => {
  const bad = update.values.findIndex((value) => !Number.isFinite(value))
  if (bad >= 0) refuseValue(table, update, bad)
}

const refuseValue = (
  { current }: KeeperTable,
  { values, indices, shape = [indices.length], operation }: UpdateArguments,
  bad: number,
): never => {
  const pointer = `/${operation === 'gradients' ? 'gradients' : 'values'}${pointerTo(bad, [...shape, current.handle.dim])}`
  return refuse('NON_FINITE', `${pointer} is ${values[bad]}`, { errors: [{ pointer, detail: 'must be finite' }] })
}
