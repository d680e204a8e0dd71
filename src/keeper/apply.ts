import { assert } from '../core/assert.ts'
import { refuse } from '../core/errors.ts'
import type { ApplyKernels } from '../kernels/apply.ts'
import { gatherFloat32, gatherStored, scatterStored, storeFloat32 } from '../tables/access.ts'
import type { Arena } from '../tables/arena.ts'
import type { TableMemory } from '../tables/memory.ts'
import type { TableVersion } from '../tables/table.ts'
import { checkFinite, checkUpdate, refuseNonFinite, showsInResult } from './check-update.ts'
import { failpoint } from './durable/failpoints.ts'
import { applyStep } from './optimizer.ts'
import type { PendingRows } from './pending.ts'
import type { PreimageLog } from './preimages.ts'
import type { UpdateArguments } from './protocol.ts'
import { reserveScratch, type Scratch } from './scratch.ts'
import { createState, fillUntouched, markTouched, type OptimizerState } from './state.ts'
import type { KeeperTable, KeeperVersion } from './tables.ts'
import { coalesceRows, type TouchedRows } from './update.ts'

export interface ApplyContext {
  memory: TableMemory
  /** The keeper's scratch. */
  arena: Arena
  /** Over the arena. */
  kernels: ApplyKernels
  nowMs: number
}

/** An update whose new rows are computed, in the arena. Nobody sees them yet. To be made visible or given up, in the order of sequences. */
export interface PlannedUpdate {
  version: KeeperVersion
  touched: TouchedRows
  scratch: Scratch
  state: OptimizerState | null
  sequence: number
  step: number
  nowMs: number
}

interface Work extends ApplyContext {
  table: KeeperTable
  update: UpdateArguments
  touched: TouchedRows
  scratch: Scratch
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
  table: KeeperTable,
  update: UpdateArguments,
  pending: PendingRows,
): PlannedUpdate | null => {
  const { arena, memory, nowMs } = context
  const { current, settings } = table
  const { handle, table: version } = current
  checkUpdate(table, update)
  const isStep = update.operation === 'gradients'
  const touched = coalesceRows(update.indices, isStep ? paddingRow(table) : -1)
  if (update.indices.length === 0) return null
  if (isStep) current.state ??= createState(memory, handle, settings.optimizer)
  const state = isStep ? current.state : null
  assert(state === null || state.kind === settings.optimizer.kind, 'state is that of the optimizer')
  const scratch = reserveScratch(arena, update, touched, version, state)
  const before = current.planned ?? { sequence: version.readSequence(), step: version.readStep() }
  const planned = { sequence: before.sequence + 1, step: before.step + (isStep ? 1 : 0) }
  const isChecked = !showsInResult(settings, update)
  try {
    if (isChecked) checkFinite(arena, table, update, scratch.valuesAt)
    const work = { ...context, table, update, touched, scratch, state, step: planned.step, pending }
    if (isStep) computeSteps(work)
    else computeValues(work)
  } catch (error) {
    arena.release(scratch.region)
    // Better than the row that it would have spoilt is the value that it came with.
    if (!isChecked) refuseNonFinite(table, update)
    throw error
  }
  current.planned = planned
  return { version: current, touched, scratch, state, ...planned, nowMs }
}

/** Tells the updates after it in this turn where its rows are. */
export const enterPending = (pending: PendingRows, { touched, scratch, state, version }: PlannedUpdate): void =>
  pending.enter(touched.rows, {
    rowsAt: scratch.rowsAt,
    rowBytes: version.table.rowBytes,
    stateAt: state === null ? 0 : scratch.stateAt,
    stateBytes: (state?.length ?? 0) * 4,
  })

/**
 * Writes the rows of an update inside one lock window, and gives its scratch back. `logs`: of the exports that are under way, of any table.
 * An exception here leaves rows half written, which only a restart can mend.
 */
export const makeVisible = (arena: Arena, update: PlannedUpdate, logs: readonly PreimageLog[]): void => {
  const { version, touched, scratch, state } = update
  const { idsAt, rowsAt, stateAt } = scratch
  const count = touched.rows.length
  rememberRows(arena, logs, touched, idsAt, version.table, null)
  if (state !== null) rememberRows(arena, logs, touched, idsAt, state.rows, state)
  version.table.write(update, () => {
    scatterStored(version.table, arena, { idsAt, count, sourceAt: rowsAt })
    failpoint('update:half-visible')
    if (state === null) return
    scatterStored(state.rows, arena, { idsAt, count, sourceAt: stateAt })
    markTouched(state, touched.rows)
  })
  arena.release(scratch.region)
}

/** The row that gradients never change, or -1. */
const paddingRow = (table: KeeperTable): number => {
  const padding = table.settings.padding_index
  if (padding === null) return -1
  return padding < 0 ? padding + table.current.handle.rows : padding
}

/** `set` and `add`: the values of equal rows become one, then the new rows as stored. */
const computeValues = (work: Work): void => {
  const { arena, kernels, table, update, touched, scratch } = work
  const { idsAt, slotsAt, valuesAt, rowsAt } = scratch
  const version = table.current.table
  const count = touched.rows.length
  const combine = update.operation === 'set' ? kernels.setRows : kernels.addRows
  if (update.operation === 'add') {
    gatherFloat32(version, arena, { idsAt, count, outAt: rowsAt })
    overlayRows(work, 0, count)
  }
  combine(slotsAt, touched.slots.length, valuesAt, rowsAt, count, version.handle.dim)
  storeRows(work, 0, count)
}

/** `gradients`: those of equal rows are summed; then rows and state take the optimizer's step, a block at a time. */
const computeSteps = (work: Work): void => {
  const { arena, kernels, table, update, touched, scratch, state, step } = work
  const { dim } = table.current.handle
  const { idsAt, slotsAt, valuesAt, rowsAt, stateAt } = scratch
  const count = touched.rows.length
  // Without equal rows, and without one that is left out, the gradients are their own sums.
  if (count < touched.slots.length) kernels.sumRows(slotsAt, touched.slots.length, valuesAt, dim)
  const blockRows = Math.max(1, Math.floor(BLOCK_BYTES / (dim * 4)))
  for (let first = 0; first < count; first += blockRows) {
    const rowCount = Math.min(blockRows, count - first)
    const block = {
      weightsAt: rowsAt + first * dim * 4,
      gradientsAt: valuesAt + first * dim * 4,
      stateAt: stateAt + first * (state?.length ?? 0) * 4,
    }
    const ids = { idsAt: idsAt + first * 4, count: rowCount }
    gatherFloat32(table.current.table, arena, { ...ids, outAt: block.weightsAt })
    if (state !== null) {
      gatherStored(state.rows, arena, { ...ids, outAt: block.stateAt })
      fillUntouched(state, touched.rows.subarray(first, first + rowCount), arena.float32.subarray(block.stateAt / 4))
    }
    overlayRows(work, first, rowCount)
    applyStep(kernels, table.settings.optimizer, update.learningRate, { ...block, rowCount, dim, step })
    storeRows(work, first, rowCount)
    if (state !== null) checkState(work, state, block.stateAt, first, rowCount)
  }
}

/** Puts what earlier updates of this turn made of rows and state in place of what the table still says. */
const overlayRows = ({ arena, table, touched, scratch, state, pending }: Work, first: number, count: number): void => {
  if (pending.size === 0) return
  const { handle, table: version } = table.current
  const { dim, dtype } = handle
  assert(dtype !== 'int8', 'int8 tables take no updates')
  const [kernels] = version.kernels(arena.memory)
  for (let i = first; i < first + count; i++) {
    const place = pending.find(touched.rows[i])
    if (place < 0) continue
    kernels.convert(dtype, 'float32', pending.rowAt(place), dim, scratch.rowsAt + i * dim * 4)
    const stateAt = pending.stateAt(place)
    if (state === null || stateAt === 0) continue
    arena.bytes.copyWithin(scratch.stateAt + i * state.length * 4, stateAt, stateAt + state.length * 4)
  }
}

/**
 * Turns the new float32 rows from `first` on into rows as stored, in their place: stored rows are never larger, so that none is
 * overwritten before its turn.
 */
const storeRows = ({ table, arena, touched, scratch: { rowsAt } }: Work, first: number, count: number): void => {
  const version = table.current.table
  const { dim, dtype } = version.handle
  const bad = storeFloat32(version, arena, {
    sourceAt: rowsAt + first * dim * 4,
    count,
    outAt: rowsAt + first * version.rowBytes,
  })
  if (bad < 0) return
  const row = touched.rows[first + Math.floor(bad / dim)]
  refuse('NON_FINITE', `row ${row}, column ${bad % dim} would no longer be a finite ${dtype}`)
}

/** State that is not finite would hold its row still, or spoil it, at every later step. */
const checkState = ({ table, arena, touched }: Work, state: OptimizerState, at: number, first: number, rowCount: number): void => {
  const bad = state.rows.kernels(arena.memory)[0].finite(at, rowCount * state.length)
  if (bad < 0) return
  const row = touched.rows[first + Math.floor(bad / state.length)]
  refuse('NON_FINITE', `the ${table.settings.optimizer.kind} state of row ${row} would no longer be finite`)
}

/** Hands what the rows are now, of the table or of its state, to the exports that read them. */
const rememberRows = (
  arena: Arena,
  logs: readonly PreimageLog[],
  touched: TouchedRows,
  idsAt: number,
  source: TableVersion,
  state: OptimizerState | null,
): void => {
  const interested = logs.filter((log) => log.source === source)
  if (interested.length === 0) return
  const blockRows = Math.max(1, Math.floor(BLOCK_BYTES / source.rowBytes))
  const region = arena.reserve(Math.min(blockRows, touched.rows.length) * source.rowBytes)
  try {
    for (let first = 0; first < touched.rows.length; first += blockRows) {
      const rows = touched.rows.subarray(first, first + blockRows)
      gatherStored(source, arena, { idsAt: idsAt + first * 4, count: rows.length, outAt: region.at })
      if (state !== null) fillUntouched(state, rows, arena.float32.subarray(region.at / 4))
      for (const log of interested) log.record(rows, arena.bytes.subarray(region.at, region.at + rows.length * source.rowBytes))
    }
  } finally {
    arena.release(region)
  }
}
