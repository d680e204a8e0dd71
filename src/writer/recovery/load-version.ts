/** Loads one version at a start: reads its snapshot and replays the journal. */
import { join } from 'node:path'
import { assert } from '../../core/assert.ts'
import { layOut } from '../../layout/cache-lines.ts'
import { scatterStored } from '../../tables/table-writer.ts'
import type { Arena } from '../../tables/arena.ts'
import { memoriesOf, type VersionHandle } from '../../tables/handles.ts'
import { rowBytes } from '../../layout/table-layout.ts'
import type { TableMemory } from '../../tables/memory.ts'
import { TableWriter } from '../../tables/table-writer.ts'
import type { CatalogTable } from '../../storage/catalog-rows.ts'
import { checkRecordFits, type JournalRecord, recordBytes } from '../../storage/journal-record.ts'
import type { LoadPlan } from '../../storage/recovery-plan.ts'
import type { SnapshotFacts } from '../../storage/snapshot-format.ts'
import { checkListed, readSnapshot } from '../../storage/snapshot-read.ts'
import type { Store } from '../../storage/store.ts'
import { createState, dropState, markTouched, type OptimizerState } from '../lifecycle/optimizer-state.ts'
import { openReserve, resumeReserve } from '../lifecycle/sequences.ts'
import type { VersionModel } from '../lifecycle/table-model.ts'
import type { VersionFound } from './plan-version.ts'

export interface LoadDependencies {
  store: Store
  memory: TableMemory
  arena: Arena
  /** Whether updates that were answered may be lost, whatever the durability of their table. */
  goesBack: boolean
  /** Called with the bytes of the snapshot read so far. */
  onProgress: (bytes: number) => void
}

/** The replay yields to the event loop after this many records, so that other threads get answers. */
const RECORDS_PER_PAUSE = 64

/**
 * Loads a version as planned: its snapshot, and the journal's records over it. Refuses DamagedSnapshot and
 * DamagedRecord, after which the memory is free again, and MEMORY_QUOTA_EXCEEDED.
 */
export const loadVersion = async (
  dependencies: LoadDependencies,
  found: VersionFound,
  plan: LoadPlan,
  key: string,
): Promise<VersionModel> => {
  const { store, memory, goesBack, onProgress } = dependencies
  const { table, versionRow: listed } = found
  const { rows, dim, dtype } = listed
  const { segments, reservedBytes } = memory.allocate(rows, rowBytes(dim, dtype))
  const handle: VersionHandle = {
    key,
    version: listed.version,
    rows,
    dim,
    dtype,
    createdAt: listed.createdAtMs,
    segments,
  }
  const loaded: { state: OptimizerState | null } = { state: null }
  try {
    const path = join(store.paths.snapshots, plan.snapshot.file)
    const allocate = (facts: SnapshotFacts) => {
      checkListed(path, facts, plan.snapshot)
      loaded.state = takeUpState(memory, handle, table, facts.state)
      return {
        segments,
        state: loaded.state && { segments: loaded.state.rows.handle.segments, touched: loaded.state.touched },
      }
    }
    const facts = await readSnapshot(path, allocate, { onProgress: (bytes) => onProgress(bytes) })
    const model = toVersionModel(handle, reservedBytes, found, plan)
    const step = plan.snapshot.stateEpoch === table.stateEpoch ? facts.step : 0
    model.table.write({ sequence: facts.startSequence, step, nowMs: facts.updatedAtMs }, () => {})
    model.state = loaded.state
    await replay(dependencies, found, plan, model, loaded)
    model.sequences = resumeReserve(listed, found.skips, {
      last: model.table.readSequence(),
      reached: plan.replay.last,
      mayHaveLost: goesBack || table.settings.durability !== 'disk',
      nowMs: store.clock.now(),
    })
    return model
  } catch (error) {
    memory.release(reservedBytes, memoriesOf(segments))
    if (loaded.state !== null) dropState(loaded.state, memory)
    throw error
  }
}

const toVersionModel = (
  handle: VersionHandle,
  reservedBytes: number,
  { snapshots }: VersionFound,
  plan: LoadPlan,
): VersionModel => ({
  handle,
  table: new TableWriter(handle),
  reservedBytes,
  state: null,
  adapter: null,
  stored: {
    snapshots: snapshots
      .filter(({ state }) => state === 'valid')
      .map(({ listed }) => listed)
      .sort((a, b) => a.startSequence - b.startSequence || a.id - b.id),
    durableSequence: Math.max(plan.replay.last, plan.snapshot.startSequence),
    journalBytes: 0,
    journalPins: 0,
  },
  planned: null,
  // Replaced when the last sequence is known.
  sequences: openReserve(),
  leavingAdapters: new Set(),
})

/**
 * Returns state memory for the state in a snapshot or record; null when the table has dropped that state
 * since.
 */
const takeUpState = (
  memory: TableMemory,
  handle: VersionHandle,
  { settings, stateEpoch }: CatalogTable,
  state: { kind: string; epoch: number; initial: number } | null,
): OptimizerState | null => {
  if (state === null || state.epoch !== stateEpoch) return null
  const created = createState(memory, handle, settings.optimizer)
  assert(created !== null && created.kind === state.kind, 'state of the same epoch is that of the optimizer')
  // The optimizer's own value may have changed since, which concerns new state only.
  created.initial = state.initial
  return created
}

/** Writes the records over the snapshot's rows, in order. */
const replay = async (
  { store, memory, arena }: LoadDependencies,
  { table, versionRow: listed, skips }: VersionFound,
  { replay: range }: LoadPlan,
  model: VersionModel,
  loaded: { state: OptimizerState | null },
): Promise<void> => {
  if (range.last < range.first) return
  let count = 0
  const { first, last } = range
  for (const record of store.readJournal(table.id, listed.version, first - 1, last, skips)) {
    checkRecordFits(record, listed, store.paths.catalog)
    const { state, stateEpoch } = record
    const isCurrent = stateEpoch === table.stateEpoch
    if (loaded.state === null && state !== null && isCurrent) {
      loaded.state = takeUpState(memory, model.handle, table, { ...state, epoch: stateEpoch })
      model.state = loaded.state
    }
    writeRecord(arena, model, record, isCurrent)
    model.stored.journalBytes += recordBytes(record.ids.length, record.rowBytes, state?.length ?? 0)
    if (++count % RECORDS_PER_PAUSE === 0) await new Promise(setImmediate)
  }
}

const writeRecord = (arena: Arena, model: VersionModel, record: JournalRecord, isCurrent: boolean): void => {
  const { ids, rows, state, sequence, updatedAtMs } = record
  const { table } = model
  const step = isCurrent ? record.step : table.readStep()
  const writerState = isCurrent && state !== null ? model.state : null
  const stateBytes = writerState === null || state === null ? 0 : state.rows.byteLength
  const region = arena.reserve(ids.byteLength + rows.length + stateBytes + 64 * 3)
  const [idsAt, rowsAt, stateAt] = layOut(region.at, [ids.byteLength, rows.length, stateBytes])
  try {
    arena.int32.set(ids, idsAt / 4)
    arena.bytes.set(rows, rowsAt)
    if (writerState !== null && state !== null) arena.float32.set(state.rows, stateAt / 4)
    table.write({ sequence, step, nowMs: updatedAtMs }, () => {
      scatterStored(table, arena, { idsAt, count: ids.length, sourceAt: rowsAt })
      if (writerState === null) return
      scatterStored(writerState.rows, arena, { idsAt, count: ids.length, sourceAt: stateAt })
      markTouched(writerState, ids)
    })
  } finally {
    arena.release(region)
  }
}
