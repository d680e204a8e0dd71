/** Translates the writer's models to the rows of the catalog, the snapshots and the journal. */
import { assert } from '../../core/assert.ts'
import type { Arena } from '../../tables/arena.ts'
import type { PlannedUpdate } from '../updates/apply.ts'
import type { CatalogChange, CatalogSnapshot, CatalogTable } from '../../storage/catalog-rows.ts'
import type { JournalRecord } from '../../storage/journal-record.ts'
import type { SnapshotFacts } from '../../storage/snapshot-format.ts'
import type { SnapshotMemory } from '../../storage/snapshot-memory.ts'
import type { WrittenSnapshot } from '../../storage/snapshot-write.ts'
import type { TableModel, VersionModel } from './table-model.ts'
import type { TableChange } from './versions.ts'

/** The catalog row of a table. */
const toCatalogTable = (table: TableModel): CatalogTable => ({
  id: table.id,
  name: table.name,
  createdAtMs: table.createdAt,
  changedAtMs: table.changedAt,
  settings: table.settings,
  highest: table.highest,
  current: table.current.handle.version,
  stateEpoch: table.stateEpoch,
  revision: table.revision,
})

/** The catalog changes of a table change: the table itself, and the versions that leave it. */
export const toCatalogChanges = ({ table, retired }: TableChange): CatalogChange[] => [
  { kind: 'put-table', table: toCatalogTable(table) },
  ...retired.map(
    ({ handle }): CatalogChange => ({ kind: 'delete-version', tableId: table.id, version: handle.version }),
  ),
]

/** The catalog change that adds a version. */
export const toCatalogVersion = (
  tableId: number,
  { handle, sequences }: Pick<VersionModel, 'handle' | 'sequences'>,
): CatalogChange => ({
  kind: 'put-version',
  versionRow: {
    tableId,
    version: handle.version,
    rows: handle.rows,
    dim: handle.dim,
    dtype: handle.dtype,
    createdAtMs: handle.createdAt,
    reserved: sequences.reserved,
  },
})

/** The facts of a snapshot that begins now, for its header. */
export const toSnapshotFacts = (
  table: Pick<TableModel, 'id' | 'name' | 'stateEpoch'>,
  model: VersionModel,
): SnapshotFacts => {
  assert(model.planned === null, 'a snapshot begins when no computed update is still invisible')
  const { handle, state } = model
  return {
    tableId: table.id,
    table: table.name,
    version: handle.version,
    rows: handle.rows,
    dim: handle.dim,
    dtype: handle.dtype,
    startSequence: model.table.readSequence(),
    step: model.table.readStep(),
    updatedAtMs: model.table.readUpdatedAt(),
    state: state && {
      kind: state.kind,
      length: state.length,
      epoch: table.stateEpoch,
      initial: state.initial,
    },
  }
}

/** The memories that a snapshot writes. */
export const toSnapshotMemory = ({ handle, state }: VersionModel): SnapshotMemory => ({
  segments: handle.segments,
  state: state && { segments: state.rows.handle.segments, touched: state.touched },
})

/** The catalog row of a snapshot file. */
export const toCatalogSnapshot = (
  id: number,
  facts: SnapshotFacts,
  written: WrittenSnapshot,
  end: { endSequence: number; stateEpoch: number; nowMs: number },
): CatalogSnapshot => ({
  id,
  tableId: facts.tableId,
  version: facts.version,
  file: written.file,
  startSequence: facts.startSequence,
  endSequence: end.endSequence,
  step: facts.step,
  createdAtMs: end.nowMs,
  bytes: written.bytes,
  sha256: written.sha256,
  stateKind: facts.state?.kind ?? null,
  stateEpoch: end.stateEpoch,
})

/**
 * The journal record of a computed update. Its arrays are views of the arena, so it must be encoded before
 * the arena changes.
 */
export const toJournalRecord = (table: TableModel, update: PlannedUpdate, arena: Arena): JournalRecord => {
  const { model, rows, postImages, state, sequence, step, nowMs } = update
  const count = rows.length
  const { rowBytes } = model.table
  return {
    tableId: table.id,
    version: model.handle.version,
    sequence,
    step,
    stateEpoch: table.stateEpoch,
    updatedAtMs: nowMs,
    durability: table.settings.durability,
    ids: rows,
    rowBytes,
    rows: arena.bytes.subarray(postImages.rowsAt, postImages.rowsAt + count * rowBytes),
    state: state && {
      kind: state.kind,
      initial: state.initial,
      length: state.length,
      rows: arena.float32.subarray(postImages.stateAt / 4, postImages.stateAt / 4 + count * state.length),
    },
  }
}

/** The journal record of a change without rows, which takes a sequence as an update does. */
export const toEmptyRecord = (table: TableModel, sequence: number, nowMs: number): JournalRecord => ({
  tableId: table.id,
  version: table.current.handle.version,
  sequence,
  step: table.current.table.readStep(),
  stateEpoch: table.stateEpoch,
  updatedAtMs: nowMs,
  durability: table.settings.durability,
  ids: new Int32Array(0),
  rowBytes: table.current.table.rowBytes,
  rows: new Uint8Array(0),
  state: null,
})
