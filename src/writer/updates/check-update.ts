/**
 * Checks an update against the table at the time when the writer takes it, and names the offending value or
 * index.
 */
import { refuse } from '../../core/errors.ts'
import { pointerTo } from '../../core/pointers.ts'
import type { Settings } from '../../core/types.ts'
import { hasState } from '../../optimizers/state-tensors.ts'
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

/**
 * Repeats the checks of the HTTP worker, which may have known an earlier version of the table. Refuses
 * DTYPE_MISMATCH and SHAPE_MISMATCH.
 */
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
    `${indexCount} rows of dim ${dim} are ${indexCount * dim} values, ` +
      `got ${valueCount} (${update.operation})`,
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
 * Whether a non-finite input always shows in the new rows or state, which are checked anyway; skipping the
 * input scan saves about 10 %. It may not show in the padding row, which gradients never change, nor where a
 * constraint replaces it and no state contains it.
 */
export const showsInResult = ({ optimizer, padding_index }: Settings, { operation }: UpdateHead): boolean =>
  operation === 'gradients' &&
  padding_index === null &&
  (hasState(optimizer) || optimizer.constraint === undefined)

/** Refuses NON_FINITE if an input value is not finite. */
export const checkFinite = (
  table: TableModel,
  update: WriterUpdate,
  { updateSource, valuesAt, valueCount }: PlacedUpdateSource,
): void => {
  const bad = updateSource.kernels.findNonFinite(valuesAt, valueCount)
  if (bad >= 0) refuseValue(table, update, bad)
}

/**
 * Does the same without kernels, for an update that has already failed: refuses the first value that is not
 * finite.
 */
export const refuseNonFinite = (table: TableModel, update: WriterUpdate): void => {
  const bad = viewValues(update).findIndex((value) => !Number.isFinite(value))
  if (bad >= 0) refuseValue(table, update, bad)
}

const refuseValue = ({ current }: TableModel, update: WriterUpdate, bad: number): never => {
  const { operation, shape = [countIndices(update)] } = update
  const member = operation === 'gradients' ? 'gradients' : 'values'
  const pointer = `/${member}${pointerTo(bad, [...shape, current.handle.dim])}`
  return refuse('NON_FINITE', `${pointer} is ${viewValues(update)[bad]}`, {
    errors: [{ pointer, detail: 'must be finite' }],
  })
}
