import type { Optimizer } from '../../core/types.ts'
import type { VersionHandle } from '../../tables/handles.ts'
import type { TableMemory } from '../../tables/memory.ts'
import { TableWriter } from '../../tables/table-writer.ts'
import { stateInitial, stateLength } from '../updates/optimizer-step.ts'

/**
 * The optimizer state of a table version: memories of its own, laid out like the table's with one float32 state row per
 * table row. Only the writer writes them, and only HTTP workers that export it map them. Made when the first gradient needs it or by an upload,
 * dropped when the optimizer changes kind.
 */
export interface OptimizerState {
  kind: Optimizer['kind']
  rows: TableWriter
  /** Float32 numbers per row. */
  length: number
  reservedBytes: number
  /** Per row: 1 once its state was written. Until then the state is `initial`, whatever the zeroed memory says. Shared: exports read it. */
  touched: Uint8Array
  initial: number
  /** Exports that read it. */
  exportCount: number
  isDropped: boolean
}

/** Reserves the state of `handle` for `optimizer`; null for an optimizer without state. Refuses MEMORY_QUOTA_EXCEEDED. */
export const createState = (
  memory: TableMemory,
  handle: VersionHandle,
  optimizer: Optimizer,
): OptimizerState | null => {
  const length = stateLength(optimizer, handle.dim)
  if (length === 0) return null
  const { segments, reservedBytes } = memory.allocate(handle.rows, length * 4)
  const rows = new TableWriter({
    ...handle,
    key: `${handle.key}/state`,
    dim: length,
    dtype: 'float32',
    segments,
  })
  const touched = new Uint8Array(new SharedArrayBuffer(handle.rows))
  const initial = stateInitial(optimizer)
  return {
    kind: optimizer.kind,
    rows,
    length,
    reservedBytes,
    touched,
    initial,
    exportCount: 0,
    isDropped: false,
  }
}

/** Puts the initial value in place of the state rows that were never written: `count` rows from `first` on, packed from `place` of `target` on. */
export const fillUntouched = (
  state: OptimizerState,
  rows: Int32Array,
  first: number,
  count: number,
  target: Float32Array,
  place: number,
): void => {
  const { initial, length, touched } = state
  // Fresh memory is zero already.
  if (initial === 0) return
  for (let i = 0; i < count; i++) {
    if (touched[rows[first + i]] === 1) continue
    target.fill(initial, place + i * length, place + (i + 1) * length)
  }
}

/** After a committed step: these rows carry their own state from now on. */
export const markTouched = (state: OptimizerState, rows: Int32Array): void => {
  for (let i = 0; i < rows.length; i++) state.touched[rows[i]] = 1
}

/** An export begins to read the state. */
export const reserveState = (state: OptimizerState): void => {
  state.exportCount++
}

/** An export has ended. */
export const releaseState = (state: OptimizerState, memory: TableMemory): void => {
  state.exportCount--
  releaseWhenUnread(state, memory)
}

/** The state is no longer that of its version. Its memory goes back when no export reads it. */
export const dropState = (state: OptimizerState, memory: TableMemory): void => {
  state.isDropped = true
  releaseWhenUnread(state, memory)
}

const releaseWhenUnread = (state: OptimizerState, memory: TableMemory): void => {
  if (state.isDropped && state.exportCount === 0) memory.release(state.reservedBytes)
}
