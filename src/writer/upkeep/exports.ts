import { assert } from '../../core/assert.ts'
import { LIMITS } from '../../core/limits.ts'
import type { Optimizer } from '../../core/types.ts'
import type { TableMemory } from '../../tables/memory.ts'
import { PreImageLog } from '../updates/pre-images.ts'
import type { ExportedState, PreImages } from '../protocol.ts'
import { stateInitial } from '../updates/optimizer-step.ts'
import { reserveState, releaseState, type OptimizerState } from '../lifecycle/optimizer-state.ts'
import type { VersionModel } from '../lifecycle/table-model.ts'

/** An export under way: what updates have overwritten since it began, of the rows and of the state that it reads. */
export interface TableExport {
  rows: PreImageLog
  state: PreImageLog | null
  pinnedState: OptimizerState | null
}

/** Begins an export of a version, and of its optimizer state where asked to. The state stays until the export ends. */
export const beginExport = (
  { table, state }: VersionModel,
  optimizer: Optimizer,
  withState: boolean,
): { begun: TableExport; sequence: number; state: ExportedState | null } => {
  const sequence = table.readSequence()
  const pinnedState = withState ? state : null
  // One bound for both: an update of a row overwrites both.
  const rowsBytesMax = Math.floor(
    (LIMITS.exportPreImageBytesMax * table.rowBytes) / (table.rowBytes + (pinnedState?.rows.rowBytes ?? 0)),
  )
  const begun: TableExport = {
    rows: new PreImageLog(table, rowsBytesMax),
    state: pinnedState && new PreImageLog(pinnedState.rows, LIMITS.exportPreImageBytesMax - rowsBytesMax),
    pinnedState,
  }
  if (!withState) return { begun, sequence, state: null }
  if (pinnedState !== null) reserveState(pinnedState)
  const memory = pinnedState && { rows: pinnedState.rows.handle, touched: pinnedState.touched }
  const initial = pinnedState?.initial ?? stateInitial(optimizer)
  return { begun, sequence, state: { optimizer, step: table.readStep(), initial, memory } }
}

/** Old rows, or old state, within firstRow..firstRow+rowCount-1. Refuses OVERLOADED when updates changed more than is kept. */
export const readPreImages = (
  begun: TableExport,
  of: 'rows' | 'state',
  firstRow: number,
  rowCount: number,
): PreImages => {
  const log = begun[of]
  assert(log !== null, 'only an export of state reads state')
  return log.read(firstRow, rowCount)
}

/** Ends an export: nothing is remembered for it any more. */
export const endExport = ({ pinnedState }: TableExport, memory: TableMemory): void => {
  if (pinnedState !== null) releaseState(pinnedState, memory)
}

/** The logs of these exports, for the updates that they must be told about. */
export const listLogs = (exports: Iterable<TableExport>): PreImageLog[] =>
  [...exports].flatMap(({ rows, state }) => (state === null ? [rows] : [rows, state]))
