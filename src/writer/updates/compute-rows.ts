/**
 * Computes the new rows of an update in the writer's arena: the values of `set` and `add`, and the optimizer
 * step of `gradients`, block by block. The table itself is not changed here.
 */
import { assert } from '../../core/assert.ts'
import { refuse } from '../../core/errors.ts'
import type { StepKernels } from '../../kernels/apply.ts'
import { applyStep } from '../../optimizers/step.ts'
import { gatherFloat32, gatherStored, storeFloat32 } from '../../tables/table-writer.ts'
import type { Arena } from '../../tables/arena.ts'
import { fillUntouched, type OptimizerState } from '../lifecycle/optimizer-state.ts'
import type { TableModel } from '../lifecycle/table-model.ts'
import type { PendingRows } from './pending.ts'
import type { PlacedUpdateSource, WriterUpdate } from './update.ts'
import type { PostImages, UpdateWorkspace } from './workspace.ts'

/** An update whose rows are to be computed, and the places in the arena that this uses. */
export interface RowWork {
  arena: Arena
  /** Kernels over the arena. */
  kernels: StepKernels
  table: TableModel
  update: WriterUpdate
  source: PlacedUpdateSource
  workspace: UpdateWorkspace
  /** The distinct rows. */
  rows: Int32Array
  postImages: PostImages
  state: OptimizerState | null
  /** Gradient steps of the version including this update. */
  step: number
  /** Rows of this version that are computed and not yet visible. */
  pending: PendingRows
}

/**
 * A block of rows is read, stepped and stored before the next one, so that it stays in the core's own cache.
 */
const BLOCK_BYTES = 64 * 1024

/** Returns the number of rows in a block. */
export const countBlockRows = ({ current }: TableModel): number =>
  Math.max(1, Math.floor(BLOCK_BYTES / Math.max(4, current.handle.dim * 4)))

/** Computes `set` and `add`: combines the values of equal rows, then stores the rows. Refuses NON_FINITE. */
export const computeValues = (work: RowWork): void => {
  const { arena, table, update, source, workspace, rows, postImages } = work
  const { updateSource, valuesAt, indexCount } = source
  const { idsAt, rowsAt } = postImages
  const { firstsAt, lastsAt, nextsAt } = workspace.found
  const { dim } = table.current.handle
  const count = rows.length
  if (update.operation === 'set')
    updateSource.kernels.copyRows(lastsAt, count, valuesAt, indexCount, rowsAt, dim)
  else {
    gatherFloat32(table.current.table, arena, { idsAt, count, outAt: rowsAt })
    overlayRows(work, 0, count)
    updateSource.kernels.addRows(firstsAt, nextsAt, count, valuesAt, indexCount, rowsAt, dim)
  }
  storeRows(work, 0, count)
}

/**
 * Computes `gradients`: sums the gradients of equal rows, then applies the optimizer's step to rows and
 * state. Refuses NON_FINITE.
 */
export const computeSteps = (work: RowWork): void => {
  const blockRows = countBlockRows(work.table)
  const count = work.rows.length
  for (let first = 0; first < count; first += blockRows)
    stepBlock(work, first, Math.min(blockRows, count - first))
}

/** Applies the step to the block of `rowCount` rows from `first` on. */
const stepBlock = (work: RowWork, first: number, rowCount: number): void => {
  const { arena, kernels, table, update, source, workspace, rows, postImages, state, step } = work
  const { handle, table: view } = table.current
  const { updateSource, valuesAt, indexCount } = source
  const { dim, dtype } = handle
  const { gradientsAt } = workspace
  const { firstsAt, nextsAt } = workspace.found
  const firstAt = firstsAt + first * 4
  const idsAt = postImages.idsAt + first * 4
  const weightsAt = postImages.rowsAt + first * dim * 4
  const stateAt = postImages.stateAt + first * (state?.length ?? 0) * 4
  updateSource.kernels.sumRows(firstAt, nextsAt, rowCount, valuesAt, indexCount, gradientsAt, dim)
  gatherFloat32(view, arena, { idsAt, count: rowCount, outAt: weightsAt })
  if (state !== null) {
    gatherStored(state.rows, arena, { idsAt, count: rowCount, outAt: stateAt })
    fillUntouched(state, rows, first, rowCount, arena.float32, stateAt / 4)
  }
  overlayRows(work, first, rowCount)
  const block = { weightsAt, gradientsAt, stateAt, rowCount, dim, step }
  const isFinite = applyStep(kernels, table.settings.optimizer, update.learningRate, block)
  // float32 rows are stored as they are, so finite ones need no second pass.
  if (!isFinite || dtype !== 'float32') storeRows(work, first, rowCount)
  if (!isFinite && state !== null) checkState(work, state, stateAt, first, rowCount)
}

/**
 * Replaces rows and state that earlier updates of this group commit have computed, because the table still
 * has the old ones.
 */
const overlayRows = (
  { arena, table, rows, postImages, state, pending }: RowWork,
  first: number,
  count: number,
): void => {
  if (pending.size === 0) return
  const { handle, table: view } = table.current
  const { dim, dtype } = handle
  assert(dtype !== 'int8', 'int8 tables take no updates')
  const [kernels] = view.kernels(arena.memory)
  for (let i = first; i < first + count; i++) {
    const place = pending.find(rows[i])
    if (place < 0) continue
    kernels.convert(dtype, 'float32', pending.rowAt(place), dim, postImages.rowsAt + i * dim * 4)
    const stateAt = pending.stateAt(place)
    if (state === null || stateAt === 0) continue
    arena.bytes.copyWithin(postImages.stateAt + i * state.length * 4, stateAt, stateAt + state.length * 4)
  }
}

/**
 * Converts the new float32 rows from `first` on to the storage dtype, in place. A stored row is never larger
 * than its float32 form, so no row is overwritten before it is read. Refuses NON_FINITE.
 */
const storeRows = (
  { table, arena, rows, postImages: { rowsAt } }: RowWork,
  first: number,
  count: number,
): void => {
  const view = table.current.table
  const { dim, dtype } = view.handle
  const bad = storeFloat32(view, arena, {
    sourceAt: rowsAt + first * dim * 4,
    count,
    outAt: rowsAt + first * view.rowBytes,
  })
  if (bad < 0) return
  const row = rows[first + Math.floor(bad / dim)]
  refuse('NON_FINITE', `row ${row}, column ${bad % dim} would no longer be a finite ${dtype}`)
}

/**
 * Refuses NON_FINITE for state that is not finite, because it would freeze or corrupt its row at every later
 * step.
 */
const checkState = (
  { table, arena, rows }: RowWork,
  state: OptimizerState,
  at: number,
  first: number,
  rowCount: number,
): void => {
  const bad = state.rows.kernels(arena.memory)[0].finite(at, rowCount * state.length)
  if (bad < 0) return
  const row = rows[first + Math.floor(bad / state.length)]
  refuse('NON_FINITE', `the ${table.settings.optimizer.kind} state of row ${row} would no longer be finite`)
}
