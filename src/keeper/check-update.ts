import { refuse } from '../core/errors.ts'
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

/** Refuses NON_FINITE for values as they came, at `valuesAt` of the arena: of the padding row as well, which would not show in the end. */
export const checkFinite = (arena: Arena, { current }: KeeperTable, update: UpdateArguments, valuesAt: number): void => {
  const { values, shape = [update.indices.length], operation } = update
  const bad = current.table.kernels(arena.memory)[0].finite(valuesAt, values.length)
  if (bad < 0) return
  const pointer = `/${operation === 'gradients' ? 'gradients' : 'values'}${pointerTo(bad, [...shape, current.handle.dim])}`
  refuse('NON_FINITE', `${pointer} is ${values[bad]}`, { errors: [{ pointer, detail: 'must be finite' }] })
}
