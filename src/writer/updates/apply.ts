import { assert } from '../../core/assert.ts'
import { refuse } from '../../core/errors.ts'
import type { StepKernels } from '../../kernels/apply.ts'
import { gatherFloat32, gatherStored, storeFloat32 } from '../../tables/table-writer.ts'
import type { Arena } from '../../tables/arena.ts'
import type { TableMemory } from '../../tables/memory.ts'
import { resolvePaddingRow } from '../../tables/resolve.ts'
import { checkFinite, checkUpdate, refuseIndex, refuseNonFinite, showsInResult } from './check-update.ts'
import { applyStep } from './optimizer-step.ts'
import type { PendingRows } from './pending.ts'
import { type UpdateWorkspace, reserveWorkspace, reservePostImages, type PostImages } from './workspace.ts'
import { createState, fillUntouched, type OptimizerState } from '../lifecycle/optimizer-state.ts'
import type { TableModel, VersionModel } from '../lifecycle/table-model.ts'
import {
  copiedBytes,
  countIndices,
  type WriterUpdate,
  placeSource,
  type PlacedUpdateSource,
} from './update.ts'

export interface ApplyContext {
  memory: TableMemory
  /** The writer's scratch. */
  arena: Arena
  /** Over the arena. */
  kernels: StepKernels
  nowMs: number
}

/** An update whose new rows are computed, in the arena. Nobody sees them yet. To be made visible or given up, in the order of sequences. */
export interface PlannedUpdate {
  version: VersionModel
  /** The distinct rows, in the order in which they first appear. */
  rows: Int32Array
  postImages: PostImages
  state: OptimizerState | null
  sequence: number
  step: number
  nowMs: number
}

interface Work {
  arena: Arena
  kernels: StepKernels
  table: TableModel
  update: WriterUpdate
  source: PlacedUpdateSource
  workspace: UpdateWorkspace
  rows: Int32Array
  postImages: PostImages
  state: OptimizerState | null
  step: number
  /** Rows of this version that are computed and not visible. */
  pending: PendingRows
}

/** Rows that take a step before the next ones are read: they stay in a core's own cache from the first access to the last. */
const BLOCK_BYTES = 64 * 1024

/**
 * Computes one update of the current version aside: everything that can be refused is refused here, before a row changes. `pending` is where
 * the rows are that earlier updates of this turn made. null: the update names no rows, and changes nothing.
 */
export const computeUpdate = (
  context: ApplyContext,
  table: TableModel,
  update: WriterUpdate,
  pending: PendingRows,
): PlannedUpdate | null => {
  const { arena } = context
  checkUpdate(table, update)
  const count = countIndices(update)
  if (count === 0) return null
  const gradientBytes = Math.min(count, countBlockRows(table)) * table.current.handle.dim * 4
  const workspace = reserveWorkspace(arena, count, gradientBytes, copiedBytes(update))
  try {
    return computeAt(workspace, context, table, update, pending)
  } finally {
    arena.release(workspace.region)
  }
}

const computeAt = (
  workspace: UpdateWorkspace,
  { arena, kernels, memory, nowMs }: ApplyContext,
  table: TableModel,
  update: WriterUpdate,
  pending: PendingRows,
): PlannedUpdate => {
  const { current, settings } = table
  const { handle, table: version } = current
  const isStep = update.operation === 'gradients'
  const source = placeSource(arena, update, workspace.copiedAt)
  const { updateSource, indicesAt, indexCount } = source
  const count = updateSource.kernels.coalesce(
    indicesAt,
    indexCount,
    handle.rows,
    isStep ? resolvePaddingRow(table.settings.padding_index, handle.rows) : -1,
    workspace.found,
  )
  if (count < 0) return refuseIndex(table, update, -1 - count)
  if (isStep) current.state ??= createState(memory, handle, settings.optimizer)
  const state = isStep ? current.state : null
  assert(state === null || state.kind === settings.optimizer.kind, 'state is that of the optimizer')
  const postImages = reservePostImages(arena, workspace.found.rowsAt, count, handle.dim, state)
  const rows = arena.int32.subarray(postImages.idsAt / 4, postImages.idsAt / 4 + count)
  const before = current.planned ?? { sequence: version.readSequence(), step: version.readStep() }
  const planned = { sequence: before.sequence + 1, step: before.step + (isStep ? 1 : 0) }
  const isChecked = !showsInResult(settings, update)
  try {
    if (isChecked) checkFinite(table, update, source)
    const work = {
      arena,
      kernels,
      table,
      update,
      source,
      workspace,
      rows,
      postImages,
      state,
      step: planned.step,
      pending,
    }
    if (isStep) computeSteps(work)
    else computeValues(work)
  } catch (error) {
    arena.release(postImages.region)
    // Better than the row that it would have spoilt is the value that it came with.
    if (!isChecked) refuseNonFinite(table, update)
    throw error
  }
  current.planned = planned
  return { version: current, rows, postImages, state, sequence: planned.sequence, step: planned.step, nowMs }
}

/** Tells the updates after it in this turn where its rows are. */
export const enterPending = (
  pending: PendingRows,
  { rows, postImages, state, version }: PlannedUpdate,
): void =>
  pending.enter(rows, {
    rowsAt: postImages.rowsAt,
    rowBytes: version.table.rowBytes,
    stateAt: state === null ? 0 : postImages.stateAt,
    stateBytes: (state?.length ?? 0) * 4,
  })

const countBlockRows = ({ current }: TableModel): number =>
  Math.max(1, Math.floor(BLOCK_BYTES / Math.max(4, current.handle.dim * 4)))

/** `set` and `add`: the values of equal rows become one, then the new rows as stored. */
const computeValues = (work: Work): void => {
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

/** `gradients`: those of equal rows are summed; then rows and state take the optimizer's step. All of that a block at a time. */
const computeSteps = (work: Work): void => {
  const { arena, kernels, table, update, source, workspace, rows, postImages, state, step } = work
  const { handle, table: version } = table.current
  const { updateSource, valuesAt, indexCount } = source
  const { dim, dtype } = handle
  const { gradientsAt } = workspace
  const { firstsAt, nextsAt } = workspace.found
  const count = rows.length
  const blockRows = countBlockRows(table)
  for (let first = 0; first < count; first += blockRows) {
    const rowCount = Math.min(blockRows, count - first)
    const idsAt = postImages.idsAt + first * 4
    const weightsAt = postImages.rowsAt + first * dim * 4
    const stateAt = postImages.stateAt + first * (state?.length ?? 0) * 4
    updateSource.kernels.sumRows(
      firstsAt + first * 4,
      nextsAt,
      rowCount,
      valuesAt,
      indexCount,
      gradientsAt,
      dim,
    )
    gatherFloat32(version, arena, { idsAt, count: rowCount, outAt: weightsAt })
    if (state !== null) {
      gatherStored(state.rows, arena, { idsAt, count: rowCount, outAt: stateAt })
      fillUntouched(state, rows, first, rowCount, arena.float32, stateAt / 4)
    }
    overlayRows(work, first, rowCount)
    const { optimizer } = table.settings
    const isFinite = applyStep(kernels, optimizer, update.learningRate, {
      weightsAt,
      gradientsAt,
      stateAt,
      rowCount,
      dim,
      step,
    })
    // Rows of float32 are stored as they are.
    if (!isFinite || dtype !== 'float32') storeRows(work, first, rowCount)
    if (!isFinite && state !== null) checkState(work, state, stateAt, first, rowCount)
  }
}

/** Puts what earlier updates of this turn made of rows and state in place of what the table still says. */
const overlayRows = (
  { arena, table, rows, postImages, state, pending }: Work,
  first: number,
  count: number,
): void => {
  if (pending.size === 0) return
  const { handle, table: version } = table.current
  const { dim, dtype } = handle
  assert(dtype !== 'int8', 'int8 tables take no updates')
  const [kernels] = version.kernels(arena.memory)
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
 * Turns the new float32 rows from `first` on into rows as stored, in their place: stored rows are never larger, so that none is
 * overwritten before its turn.
 */
const storeRows = (
  { table, arena, rows, postImages: { rowsAt } }: Work,
  first: number,
  count: number,
): void => {
  const version = table.current.table
  const { dim, dtype } = version.handle
  const bad = storeFloat32(version, arena, {
    sourceAt: rowsAt + first * dim * 4,
    count,
    outAt: rowsAt + first * version.rowBytes,
  })
  if (bad < 0) return
  const row = rows[first + Math.floor(bad / dim)]
  refuse('NON_FINITE', `row ${row}, column ${bad % dim} would no longer be a finite ${dtype}`)
}

/** State that is not finite would hold its row still, or spoil it, at every later step. */
const checkState = (
  { table, arena, rows }: Work,
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
