import { refuse } from '../../core/errors.ts'
import { pointerTo } from '../../core/pointers.ts'
import type { Settings } from '../../core/types.ts'
import type { UpdateHead } from '../protocol.ts'
import type { TableModel } from '../lifecycle/table-model.ts'
import {
  countIndices,
  countValues,
  type WriterUpdate,
  type PlacedUpdateSource,
  viewIndices,
  viewValues,
} from './update.ts'

/** What the HTTP worker checked before, of a table that it may have known in another state. Refuses DTYPE_MISMATCH, SHAPE_MISMATCH. */
export const checkUpdate = (table: TableModel, update: WriterUpdate): void => {
  const { dim, dtype } = table.current.handle
  if (dtype === 'int8')
    refuse(
      'DTYPE_MISMATCH',
      'int8 tables take no updates; upload the table again, or keep it as float16 or bfloat16',
    )
  const [indexCount, valueCount] = [countIndices(update), countValues(update)]
  if (valueCount === indexCount * dim) return
  refuse(
    'SHAPE_MISMATCH',
    `${indexCount} rows of dim ${dim} are ${indexCount * dim} values, got ${valueCount} (${update.operation})`,
  )
}

/** Refuses INDEX_OUT_OF_RANGE for the index at `position`. */
export const refuseIndex = (table: TableModel, update: WriterUpdate, position: number): never => {
  const index = viewIndices(update)[position]
  const lastRow = table.current.handle.rows - 1
  return refuse('INDEX_OUT_OF_RANGE', `index ${index} at position ${position} is outside 0..${lastRow}`, {
    errors: [{ pointer: `/indices/${position}`, detail: `${index} is outside 0..${lastRow}` }],
  })
}

/**
 * Whether a value that is not finite would show in the rows or the state that come of it, which are checked anyway: a second look at all values
 * is a tenth of an update. Not in the row that gradients never change, nor below a constraint that puts a number in its place.
 */
export const showsInResult = ({ optimizer, padding_index }: Settings, { operation }: UpdateHead): boolean =>
  operation === 'gradients' &&
  padding_index === null &&
  (optimizer.kind !== 'sgd' || optimizer.constraint === undefined)

/** Refuses NON_FINITE for values as they came. */
export const checkFinite = (
  table: TableModel,
  update: WriterUpdate,
  { updateSource, valuesAt, valueCount }: PlacedUpdateSource,
): void => {
  const bad = updateSource.kernels.findNonFinite(valuesAt, valueCount)
  if (bad >= 0) refuseValue(table, update, bad)
}

/** Refuses NON_FINITE naming the first value that is not finite, if there is one. */
export const refuseNonFinite = (table: TableModel, update: WriterUpdate): void => {
  const bad = viewValues(update).findIndex((value) => !Number.isFinite(value))
  if (bad >= 0) refuseValue(table, update, bad)
}

const refuseValue = ({ current }: TableModel, update: WriterUpdate, bad: number): never => {
  const { operation, shape = [countIndices(update)] } = update
  const pointer = `/${operation === 'gradients' ? 'gradients' : 'values'}${pointerTo(bad, [...shape, current.handle.dim])}`
  return refuse('NON_FINITE', `${pointer} is ${viewValues(update)[bad]}`, {
    errors: [{ pointer, detail: 'must be finite' }],
  })
}
