/** Creates, pins and drops the optimizer state of table versions. */
import type { Optimizer } from '../../core/types.ts'
import { memoriesOf, type VersionHandle } from '../../tables/handles.ts'
import type { TableMemory } from '../../tables/memory.ts'
import { TableWriter } from '../../tables/table-writer.ts'
import { stateInitial, stateLength } from '../../optimizers/state-tensors.ts'

/**
 * The optimizer state of a table version. It has memories of its own, laid out like the table's, with one
 * float32 state row per table row. Only the writer writes them, and only HTTP workers that export the state
 * map them. State is created when the first gradient needs it, or by an upload, and dropped when the
 * optimizer changes kind.
 */
export interface OptimizerState {
  kind: string
  rows: TableWriter
  /** The number of float32 values per row. */
  length: number
  reservedBytes: number
  /**
   * One byte per row: 1 once its state was written. Until then the state is `initial`, whatever the zeroed
   * memory holds. Exports read it, so it is shared.
   */
  touched: Uint8Array
  initial: number
  /** The number of exports and snapshots that read the state. */
  exportCount: number
  isDropped: boolean
}

/**
 * Reserves the state of `handle` for `optimizer`. Returns null for an optimizer without state. Refuses
 * MEMORY_QUOTA_EXCEEDED.
 */
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

/**
 * Overwrites the state rows that were never written with the initial value. The `count` rows from `first` on
 * lie packed in `target`, from `place` on.
 */
export const fillUntouched = (
  state: OptimizerState,
  rows: Int32Array,
  first: number,
  count: number,
  target: Float32Array,
  place: number,
): void => {
  const { initial, length, touched } = state
  // New memory is zeroed.
  if (initial === 0) return
  for (let i = 0; i < count; i++) {
    if (touched[rows[first + i]] === 1) continue
    target.fill(initial, place + i * length, place + (i + 1) * length)
  }
}

/** Marks rows whose state was written by a committed step. */
export const markTouched = (state: OptimizerState, rows: Int32Array): void => {
  for (let i = 0; i < rows.length; i++) state.touched[rows[i]] = 1
}

/** Pins the state while an export or snapshot reads it. */
export const pinState = (state: OptimizerState): void => {
  state.exportCount++
}

/** Unpins the state, and frees it if it was dropped meanwhile. */
export const unpinState = (state: OptimizerState, memory: TableMemory): void => {
  state.exportCount--
  releaseWhenUnread(state, memory)
}

/** Drops the state from its version. Its memory is freed when nothing reads it any more. */
export const dropState = (state: OptimizerState, memory: TableMemory): void => {
  state.isDropped = true
  releaseWhenUnread(state, memory)
}

/** Returns the memories of a state, which count in the quota. */
export const stateMemories = (state: OptimizerState | null): WebAssembly.Memory[] =>
  state === null ? [] : memoriesOf(state.rows.handle.segments)

const releaseWhenUnread = (state: OptimizerState, memory: TableMemory): void => {
  if (state.isDropped && state.exportCount === 0) memory.release(state.reservedBytes, stateMemories(state))
}
