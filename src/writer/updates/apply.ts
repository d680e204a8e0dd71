/** Applies one update: checks it and computes its rows in the writer's arena, before any reader sees them. */
import { assert } from '../../core/assert.ts'
import type { StepKernels } from '../../kernels/apply.ts'
import { recordBytes } from '../../storage/journal-record.ts'
import type { Arena } from '../../tables/arena.ts'
import type { TableMemory } from '../../tables/memory.ts'
import { resolvePaddingRow } from '../../tables/resolve.ts'
import { createState, type OptimizerState } from '../lifecycle/optimizer-state.ts'
import { nextSequence } from '../lifecycle/sequences.ts'
import type { TableModel, VersionModel } from '../lifecycle/table-model.ts'
import { checkFinite, checkUpdate, refuseIndex, refuseNonFinite, showsInResult } from './check-update.ts'
import { computeSteps, computeValues, countBlockRows } from './compute-rows.ts'
import type { PendingRows } from './pending.ts'
import { copiedBytes, countIndices, type WriterUpdate, placeSource } from './update.ts'
import { type UpdateWorkspace, reserveWorkspace, reservePostImages, type PostImages } from './workspace.ts'

export interface ApplyContext {
  memory: TableMemory
  /** The writer's own arena. */
  arena: Arena
  /** Kernels over the arena. */
  kernels: StepKernels
  nowMs: number
}

/**
 * An update whose new rows are computed in the arena and not yet visible. The caller makes such updates
 * visible or abandons them, in the order of their sequences.
 */
export interface PlannedUpdate {
  model: VersionModel
  /** The distinct rows, in the order in which they first appear. */
  rows: Int32Array
  postImages: PostImages
  state: OptimizerState | null
  sequence: number
  step: number
  nowMs: number
}

/**
 * Computes one update of the current version without changing the table: every reason to refuse is found
 * here, before a row changes. `pending` has the rows that earlier updates of the same group commit have
 * computed. Returns null for an update that names no rows, and so changes nothing.
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
  const { handle, table: view } = current
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
  const stepBefore = current.planned?.step ?? view.readStep()
  const planned = { sequence: nextSequence(current), step: stepBefore + (isStep ? 1 : 0) }
  const { step } = planned
  const isChecked = !showsInResult(settings, update)
  try {
    if (isChecked) checkFinite(table, update, source)
    const compute = isStep ? computeSteps : computeValues
    compute({ arena, kernels, table, update, source, workspace, rows, postImages, state, step, pending })
  } catch (error) {
    arena.release(postImages.region)
    // Reports the offending input value rather than the row that it would corrupt.
    if (!isChecked) refuseNonFinite(table, update)
    throw error
  }
  current.planned = planned
  return { model: current, rows, postImages, state, sequence: planned.sequence, step, nowMs }
}

/** Tells later updates of the same group commit where the rows of this one are. */
export const enterPending = (pending: PendingRows, { rows, postImages, state, model }: PlannedUpdate): void =>
  pending.enter(rows, {
    rowsAt: postImages.rowsAt,
    rowBytes: model.table.rowBytes,
    stateAt: state === null ? 0 : postImages.stateAt,
    stateBytes: (state?.length ?? 0) * 4,
  })

/** Counts a journaled update in what is stored of its version: bytes of journal, and the durable sequence. */
export const noteJournaled = (
  { settings }: TableModel,
  { model, sequence, rows, state }: PlannedUpdate,
): void => {
  const { stored } = model
  if (settings.durability === 'none' && stored.journalPins === 0) return
  stored.journalBytes += recordBytes(rows.length, model.table.rowBytes, state?.length ?? 0)
  if (stored.durableSequence === sequence - 1) stored.durableSequence = sequence
  else assert(settings.durability === 'none', 'what is acknowledged is covered without a gap')
}
