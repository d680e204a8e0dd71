import { assert } from '../core/assert.ts'
import { refuse } from '../core/errors.ts'
import type { ApplyKernels } from '../kernels/apply.ts'
import { gatherFloat32, gatherStored, scatterStored, storeFloat32 } from '../tables/access.ts'
import type { Arena } from '../tables/arena.ts'
import type { TableMemory } from '../tables/memory.ts'
import type { TableVersion } from '../tables/table.ts'
import { applyStep } from './optimizer.ts'
import type { PreimageLog } from './preimages.ts'
import type { UpdateArguments, UpdateResult } from './protocol.ts'
import { reserveScratch, type Scratch } from './scratch.ts'
import { createState, fillUntouched, markTouched, type OptimizerState } from './state.ts'
import type { KeeperTable } from './tables.ts'
import { coalesceRows, type TouchedRows } from './update.ts'

export interface ApplyContext {
  table: KeeperTable
  memory: TableMemory
  /** The keeper's scratch: nothing in it outlives the call. */
  arena: Arena
  /** Over the arena. */
  kernels: ApplyKernels
  /** Of the exports that are under way, of any table. */
  logs: readonly PreimageLog[]
  nowMs: number
}

/** Rows that take a step before the next ones are read: they stay in a core's own cache from the first access to the last. */
const BLOCK_BYTES = 64 * 1024

/**
 * One update request as one atomic step on the current version: check, compute the new rows aside, write them inside one
 * lock window. Anything that can be refused is refused before a row changes.
 */
export const applyUpdate = (context: ApplyContext, update: UpdateArguments): UpdateResult => {
  const { table, arena, memory } = context
  const { current, settings } = table
  const { handle, table: version } = current
  checkUpdate(context, update)
  const isStep = update.operation === 'gradients'
  const touched = coalesceRows(update.indices, isStep ? paddingRow(table) : -1)
  // What the acknowledgement is worth, not what the table asks for: tables live in memory only as yet.
  const answer = { version: handle.version, durability: 'none' as const, replayed: false }
  if (update.indices.length === 0) return { ...answer, sequence: version.readSequence(), rowsUpdated: 0 }
  if (isStep) current.state ??= createState(memory, handle, settings.optimizer)
  const state = isStep ? current.state : null
  assert(state === null || state.kind === settings.optimizer.kind, 'state is that of the optimizer')
  const scratch = reserveScratch(arena, update, touched, version, state)
  try {
    const step = version.readStep() + (isStep ? 1 : 0)
    if (isStep) computeSteps(context, update, touched, scratch, state, step)
    else computeValues(context, update, touched, scratch)
    const sequence = version.readSequence() + 1
    commitRows(context, touched, scratch, state, { sequence, step, nowMs: context.nowMs })
    return { ...answer, sequence, rowsUpdated: touched.rows.length }
  } finally {
    arena.release(scratch.region)
  }
}

const checkUpdate = ({ table }: ApplyContext, { indices, values, operation }: UpdateArguments): void => {
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

/** The row that gradients never change, or -1. */
const paddingRow = (table: KeeperTable): number => {
  const padding = table.settings.padding_index
  if (padding === null) return -1
  return padding < 0 ? padding + table.current.handle.rows : padding
}

/** `set` and `add`: the values of equal rows become one, then the new rows as stored. */
const computeValues = (context: ApplyContext, update: UpdateArguments, touched: TouchedRows, scratch: Scratch): void => {
  const { arena, kernels, table } = context
  const { idsAt, slotsAt, valuesAt, rowsAt } = scratch
  const version = table.current.table
  const count = touched.rows.length
  const combine = update.operation === 'set' ? kernels.setRows : kernels.addRows
  if (update.operation === 'add') gatherFloat32(version, arena, { idsAt, count, outAt: rowsAt })
  combine(slotsAt, touched.slots.length, valuesAt, rowsAt, count, version.handle.dim)
  storeRows(context, touched, scratch, 0, count)
}

/** `gradients`: those of equal rows are summed; then rows and state take the optimizer's step, a block at a time. */
const computeSteps = (
  context: ApplyContext,
  { learningRate }: UpdateArguments,
  touched: TouchedRows,
  scratch: Scratch,
  state: OptimizerState | null,
  step: number,
): void => {
  const { arena, kernels, table } = context
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
    applyStep(kernels, table.settings.optimizer, learningRate, { ...block, rowCount, dim, step })
    storeRows(context, touched, scratch, first, rowCount)
    if (state !== null) checkState(context, touched, state, block.stateAt, first, rowCount)
  }
}

/**
 * Turns the new float32 rows from `first` on into rows as stored, in their place: stored rows are never larger, so that none is
 * overwritten before its turn.
 */
const storeRows = ({ table, arena }: ApplyContext, touched: TouchedRows, { rowsAt }: Scratch, first: number, count: number): void => {
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
const checkState = (
  { table, arena }: ApplyContext,
  touched: TouchedRows,
  state: OptimizerState,
  at: number,
  first: number,
  rowCount: number,
): void => {
  const bad = state.rows.kernels(arena.memory)[0].finite(at, rowCount * state.length)
  if (bad < 0) return
  const row = touched.rows[first + Math.floor(bad / state.length)]
  refuse('NON_FINITE', `the ${table.settings.optimizer.kind} state of row ${row} would no longer be finite`)
}

const commitRows = (
  context: ApplyContext,
  touched: TouchedRows,
  { idsAt, rowsAt, stateAt }: Scratch,
  state: OptimizerState | null,
  changes: { sequence: number; step: number; nowMs: number },
): void => {
  const { arena, table } = context
  const version = table.current.table
  const count = touched.rows.length
  rememberRows(context, touched, idsAt, version, null)
  if (state !== null) rememberRows(context, touched, idsAt, state.rows, state)
  version.write(changes, () => {
    scatterStored(version, arena, { idsAt, count, sourceAt: rowsAt })
    if (state === null) return
    scatterStored(state.rows, arena, { idsAt, count, sourceAt: stateAt })
    markTouched(state, touched.rows)
  })
}

/** Hands what the rows are now, of the table or of its state, to the exports that read them. */
const rememberRows = (
  { arena, logs }: ApplyContext,
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
