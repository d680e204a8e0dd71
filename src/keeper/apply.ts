import { assert } from '../core/assert.ts'
import { refuse } from '../core/errors.ts'
import type { Arena, Region } from '../tables/arena.ts'
import type { TableMemory } from '../tables/memory.ts'
import { gatherFloat32, gatherStored, scatterStored, storeFloat32 } from '../tables/access.ts'
import { applyStep } from './optimizer.ts'
import type { PreimageLog } from './preimages.ts'
import type { UpdateArguments, UpdateResult } from './protocol.ts'
import { createState, fillUntouched, markTouched, type OptimizerState } from './state.ts'
import type { KeeperTable } from './tables.ts'
import { addValues, coalesceRows, setValues, sumValues, type TouchedRows } from './update.ts'

export interface ApplyContext {
  table: KeeperTable
  memory: TableMemory
  /** The keeper's scratch: nothing in it outlives the call. */
  arena: Arena
  /** Exports of the current version that are under way. */
  logs: readonly PreimageLog[]
  nowMs: number
}

/**
 * One update request as one atomic step on the current version: check, compute the new rows aside, write them inside one
 * lock window. Anything that can be refused is refused before a row changes.
 */
export const applyUpdate = (context: ApplyContext, update: UpdateArguments): UpdateResult => {
  const { table } = context
  const { handle, table: version } = table.current
  checkUpdate(context, update)
  const touched = coalesceRows(update.indices, update.operation === 'gradients' ? paddingRow(table) : -1)
  const answer = { version: handle.version, durability: table.settings.durability, replayed: false }
  if (update.indices.length === 0) return { ...answer, sequence: version.readSequence(), rowsUpdated: 0 }
  const scratch = reserveScratch(context, touched, update.operation === 'gradients')
  try {
    const step = version.readStep() + (update.operation === 'gradients' ? 1 : 0)
    computeRows(context, update, touched, scratch, step)
    const sequence = version.readSequence() + 1
    commitRows(context, touched, scratch, { sequence, step, nowMs: context.nowMs })
    return { ...answer, sequence, rowsUpdated: touched.rows.length }
  } finally {
    scratch.release()
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

/** Where an update is computed: row numbers, new rows as float32 and as stored, state. */
interface Scratch {
  ids: Region
  weights: Region
  stored: Region
  state: Region | null
  stateRows: OptimizerState | null
  release(): void
}

const reserveScratch = (context: ApplyContext, touched: TouchedRows, withState: boolean): Scratch => {
  const { table, arena, memory } = context
  const { current, settings } = table
  const count = touched.rows.length
  if (withState) current.state ??= createState(memory, current.handle, settings.optimizer)
  const stateRows = withState ? current.state : null
  const ids = arena.reserve(count * 4)
  const weights = arena.reserve(count * current.handle.dim * 4)
  const stored = arena.reserve(count * current.table.rowBytes)
  const state = stateRows === null ? null : arena.reserve(count * stateRows.length * 4)
  arena.int32.set(touched.rows, ids.at / 4)
  const release = () => {
    for (const region of [ids, weights, stored, state]) if (region !== null) arena.release(region)
  }
  return { ids, weights, stored, state, stateRows, release }
}

/** Fills `scratch` with the rows, and optimizer state, as they will be. */
const computeRows = (context: ApplyContext, update: UpdateArguments, touched: TouchedRows, scratch: Scratch, step: number): void => {
  const { table, arena } = context
  const { handle, table: version } = table.current
  const { dim } = handle
  const count = touched.rows.length
  const weights = arena.float32.subarray(scratch.weights.at / 4, scratch.weights.at / 4 + count * dim)
  gatherFloat32(version, arena, { idsAt: scratch.ids.at, count, outAt: scratch.weights.at })
  if (update.operation === 'set') setValues(touched, update.values, dim, weights)
  else if (update.operation === 'add') addValues(touched, update.values, dim, weights)
  else {
    const gradients = new Float32Array(count * dim)
    sumValues(touched, update.values, dim, gradients)
    const state = readState(arena, scratch, touched)
    applyStep(table.settings.optimizer, update.learningRate, { weights, gradients, state, count, dim, step })
  }
  const bad = storeFloat32(version, arena, { sourceAt: scratch.weights.at, count, outAt: scratch.stored.at })
  if (bad >= 0) {
    const row = touched.rows[Math.floor(bad / dim)]
    refuse('NON_FINITE', `row ${row}, column ${bad % dim} would no longer be a finite ${handle.dtype}`)
  }
}

const readState = (arena: Arena, scratch: Scratch, touched: TouchedRows): Float32Array => {
  const { state, stateRows } = scratch
  if (state === null || stateRows === null) return new Float32Array(0)
  const count = touched.rows.length
  const target = arena.float32.subarray(state.at / 4, state.at / 4 + count * stateRows.length)
  gatherStored(stateRows.rows, arena, { idsAt: scratch.ids.at, count, outAt: state.at })
  fillUntouched(stateRows, touched.rows, target)
  return target
}

const commitRows = (
  context: ApplyContext,
  touched: TouchedRows,
  scratch: Scratch,
  changes: { sequence: number; step: number; nowMs: number },
): void => {
  const { arena, logs, table } = context
  const version = table.current.table
  const count = touched.rows.length
  if (logs.length > 0) {
    const old = arena.reserve(count * version.rowBytes)
    gatherStored(version, arena, { idsAt: scratch.ids.at, count, outAt: old.at })
    const bytes = arena.bytes.subarray(old.at, old.at + count * version.rowBytes)
    for (const log of logs) log.record(touched.rows, bytes)
    arena.release(old)
  }
  const { state, stateRows } = scratch
  assert((state === null) === (stateRows === null), 'state comes with its rows')
  version.write(changes, () => {
    scatterStored(version, arena, { idsAt: scratch.ids.at, count, sourceAt: scratch.stored.at })
    if (state === null || stateRows === null) return
    scatterStored(stateRows.rows, arena, { idsAt: scratch.ids.at, count, sourceAt: state.at })
    markTouched(stateRows, touched.rows)
  })
}
