/** Exports of a table at one sequence. Pre-images make up for the updates that run during an export. */
import { assert } from '../../core/assert.ts'
import { LIMITS } from '../../core/limits.ts'
import type { Optimizer } from '../../core/types.ts'
import type { TableMemory } from '../../tables/memory.ts'
import { PreImageLog } from '../updates/pre-images.ts'
import type { ExportedState, PreImages } from '../protocol.ts'
import { stateInitial } from '../../optimizers/state-tensors.ts'
import { pinState, unpinState, type OptimizerState } from '../lifecycle/optimizer-state.ts'
import type { VersionModel } from '../lifecycle/table-model.ts'

/** An export in progress, with the pre-images of the rows, and of the state if it is exported too. */
export interface TableExport {
  rows: PreImageLog
  state: PreImageLog | null
  pinnedState: OptimizerState | null
}

/**
 * Begins an export of a version, with its optimizer state if `withState`. The state stays pinned until the
 * export ends.
 */
export const beginExport = (
  { table, state }: VersionModel,
  optimizer: Optimizer,
  withState: boolean,
): { begun: TableExport; sequence: number; state: ExportedState | null } => {
  const sequence = table.readSequence()
  const pinnedState = withState ? state : null
  // Rows and state share one limit, because an update of a row overwrites both.
  const rowsBytesMax = Math.floor(
    (LIMITS.exportPreImageBytesMax * table.rowBytes) / (table.rowBytes + (pinnedState?.rows.rowBytes ?? 0)),
  )
  const begun: TableExport = {
    rows: new PreImageLog(table, rowsBytesMax),
    state: pinnedState && new PreImageLog(pinnedState.rows, LIMITS.exportPreImageBytesMax - rowsBytesMax),
    pinnedState,
  }
  if (!withState) return { begun, sequence, state: null }
  if (pinnedState !== null) pinState(pinnedState)
  const memory = pinnedState && { rows: pinnedState.rows.handle, touched: pinnedState.touched }
  const initial = pinnedState?.initial ?? stateInitial(optimizer)
  return { begun, sequence, state: { optimizer, step: table.readStep(), initial, memory } }
}

/**
 * Returns the pre-images within firstRow..firstRow+rowCount-1, of the rows or of the state. Refuses
 * OVERLOADED when updates have overwritten more than the limit.
 */
export const readPreImages = (
  begun: TableExport,
  of: 'rows' | 'state',
  firstRow: number,
  rowCount: number,
): PreImages => {
  const log = begun[of]
  assert(log !== null, 'only an export with state reads pre-images of state')
  return log.read(firstRow, rowCount)
}

/** Ends an export and unpins its state. */
export const endExport = ({ pinnedState }: TableExport, memory: TableMemory): void => {
  if (pinnedState !== null) unpinState(pinnedState, memory)
}

/** Returns the pre-image logs of these exports. An update writes to them before it overwrites rows. */
export const listLogs = (exports: Iterable<TableExport>): PreImageLog[] =>
  [...exports].flatMap(({ rows, state }) => (state === null ? [rows] : [rows, state]))
