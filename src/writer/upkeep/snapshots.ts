/** Decides when snapshots are written and lists them in the catalog. */
import { LIMITS } from '../../core/limits.ts'
import type { TableMemory } from '../../tables/memory.ts'
import type { CatalogChange } from '../../storage/catalog-rows.ts'
import { failpoint } from '../../storage/failpoints.ts'
import { prunableThrough } from '../../storage/recovery-plan.ts'
import type { SnapshotFacts } from '../../storage/snapshot-format.ts'
import { type WrittenSnapshot, writeSnapshot } from '../../storage/snapshot-write.ts'
import type { Store } from '../../storage/store.ts'
import type { Cleanup } from './cleanup.ts'
import type { Idempotency } from '../updates/idempotency.ts'
import type { SnapshotSummary } from '../protocol.ts'
import { findOldSkips } from '../lifecycle/sequences.ts'
import { pinState, unpinState } from '../lifecycle/optimizer-state.ts'
import { toCatalogSnapshot, toSnapshotFacts, toSnapshotMemory } from '../lifecycle/to-catalog.ts'
import type { TableModel, VersionModel } from '../lifecycle/table-model.ts'

const TICK_MS = 1_000
/** The pause after a failed snapshot, since the disk is probably full. */
const RETRY_MS = 10_000
const KEPT_COUNT = 2

export interface SnapshotsDependencies {
  store: Store
  memory: TableMemory
  keys: Idempotency
  cleanup: Cleanup
  tables: ReadonlyMap<string, TableModel>
  onError: (error: unknown) => void
  /**
   * A version gets another snapshot when its journal has grown this much since the last one, or when that is
   * older than `ageMs`.
   */
  journalBytes: number
  ageMs: number
}

/**
 * Whether the version has changed since its newest snapshot: a start would have records to replay, or would
 * lose updates of mode `none`.
 */
const isStale = ({ stored, table }: VersionModel): boolean =>
  stored.journalBytes > 0 || stored.durableSequence < table.readSequence()

/**
 * Writes snapshots, one at a time: for much journal, for age, on demand and at shutdown. Updates go on
 * meanwhile.
 */
export class Snapshots {
  readonly #dependencies: SnapshotsDependencies
  readonly #timer: NodeJS.Timeout
  readonly #abort = new AbortController()
  #tail: Promise<unknown> = Promise.resolve()
  #isBusy = false
  #retryAtMs = 0

  constructor(dependencies: SnapshotsDependencies) {
    this.#dependencies = dependencies
    this.#timer = setInterval(() => this.#tick(), TICK_MS)
    this.#timer.unref()
  }

  /**
   * Writes a snapshot of a version. Resolves to null when the version is removed before the snapshot is
   * listed. When it resolves, the snapshot covers the whole version, and no update can come before the
   * current iteration of the event loop ends. Rejects with DISK_FULL or StoreFailed.
   */
  take(table: TableModel, model: VersionModel): Promise<SnapshotSummary | null> {
    const taken = this.#tail.then(() => this.#write(table.id, model))
    this.#tail = taken.catch(() => {})
    return taken
  }

  /** Writes a snapshot of every version that has changed since its last one. */
  async takeStale(): Promise<SnapshotSummary[]> {
    const stale = [...this.#dependencies.tables.values()]
      .flatMap((table) => [...table.versions.values()].map((model) => ({ table, model })))
      .filter(({ model }) => isStale(model))
      // Updates of mode `none` are in no journal, so their tables come first.
      .sort(
        (a, b) =>
          Number(a.table.settings.durability !== 'none') - Number(b.table.settings.durability !== 'none'),
      )
    const taken: SnapshotSummary[] = []
    for (const { table, model } of stale) taken.push(...[(await this.take(table, model)) ?? []].flat())
    return taken
  }

  /**
   * Writes the last snapshots, for `shutdownSnapshotMsMax` at most. No other snapshot is written after that.
   */
  async close(): Promise<void> {
    clearInterval(this.#timer)
    if (this.#dependencies.store.failure !== null) this.#abort.abort()
    const timer = setTimeout(() => this.#abort.abort(), LIMITS.shutdownSnapshotMsMax)
    try {
      await this.takeStale()
    } catch (error) {
      if (!this.#abort.signal.aborted) this.#dependencies.onError(error)
    } finally {
      clearTimeout(timer)
      await this.#tail
    }
  }

  #tick(): void {
    if (this.#isBusy || performance.now() < this.#retryAtMs || this.#dependencies.store.failure !== null)
      return
    const due = this.#findDue()
    if (due === null) return
    this.#isBusy = true
    this.take(due.table, due.model)
      .catch((error: unknown) => {
        this.#retryAtMs = performance.now() + RETRY_MS
        this.#dependencies.onError(error)
      })
      .finally(() => (this.#isBusy = false))
  }

  /**
   * Finds the version with the most journal, if that exceeds the limit, or else one whose snapshot is too
   * old.
   */
  #findDue(): { table: TableModel; model: VersionModel } | null {
    const all = [...this.#dependencies.tables.values()].flatMap((table) =>
      [...table.versions.values()].map((model) => ({ table, model })),
    )
    const [largest] = all.sort((a, b) => b.model.stored.journalBytes - a.model.stored.journalBytes)
    if (largest !== undefined && largest.model.stored.journalBytes >= this.#dependencies.journalBytes)
      return largest
    const before = Date.now() - this.#dependencies.ageMs
    return (
      all.find(({ model }) => isStale(model) && (model.stored.snapshots.at(-1)?.createdAtMs ?? 0) < before) ??
      null
    )
  }

  async #write(tableId: number, model: VersionModel): Promise<SnapshotSummary | null> {
    const { store, memory } = this.#dependencies
    const table = this.#find(tableId, model)
    if (table === null) return null
    this.#abort.signal.throwIfAborted()
    const { stored, state } = model
    const bytesBefore = stored.journalBytes
    // Rows change while the file is written, so the snapshot needs the journal records of that time to be
    // consistent.
    stored.journalPins++
    if (state !== null) pinState(state)
    try {
      const facts = toSnapshotFacts(table, model)
      const { signal } = this.#abort
      const written = await writeSnapshot(
        store.paths.snapshots,
        facts,
        toSnapshotMemory(model),
        signal,
      ).catch((error: unknown) => {
        // A failure that our own abort caused is not the disk's.
        throw signal.aborted || (error as NodeJS.ErrnoException).code === undefined
          ? error
          : store.classify('a snapshot', error)
      })
      return this.#list(table, model, facts, written, bytesBefore)
    } finally {
      stored.journalPins--
      if (state !== null) unpinState(state, memory)
    }
  }

  /**
   * Lists a finished snapshot, which counts together with the journal since it began. Of the snapshots
   * before, one stays.
   */
  #list(
    begun: TableModel,
    model: VersionModel,
    facts: SnapshotFacts,
    written: WrittenSnapshot,
    bytesBefore: number,
  ): SnapshotSummary | null {
    const { store, keys, cleanup } = this.#dependencies
    if (this.#find(begun.id, model) === null) {
      cleanup.files([written.file])
      return null
    }
    const { stored } = model
    const endSequence = model.table.readSequence()
    const end = { endSequence, stateEpoch: begun.stateEpoch, nowMs: Date.now() }
    const snapshot = toCatalogSnapshot(store.takeId(), facts, written, end)
    const dropped = stored.snapshots.slice(0, -(KEPT_COUNT - 1))
    const saved = keys.listUnsaved(model)
    const kept = [...stored.snapshots.slice(-(KEPT_COUNT - 1)), snapshot]
    const skips = findOldSkips(model, prunableThrough(kept), store.clock.now())
    const changes: CatalogChange[] = [
      ...dropped.map(({ id }): CatalogChange => ({ kind: 'delete-snapshot', snapshotId: id })),
      ...skips.map(
        ({ tableId, version, first }): CatalogChange => ({
          kind: 'delete-skip',
          tableId,
          version,
          first,
        }),
      ),
    ]
    try {
      store.commit({ changes: [{ kind: 'put-snapshot', snapshot }, ...changes], keys: saved })
    } catch (error) {
      cleanup.unlisted(written.file)
      throw error
    }
    failpoint('snapshot:listed')
    keys.forgetUnsaved(saved)
    stored.snapshots = kept
    model.sequences.skips = model.sequences.skips.filter((skip) => !skips.includes(skip))
    // The change of an adapter may already be journaled while its sequence is not yet counted.
    stored.durableSequence = Math.max(stored.durableSequence, endSequence)
    stored.journalBytes -= bytesBefore
    cleanup.records(begun.id, model.handle.version, prunableThrough(stored.snapshots))
    cleanup.files(dropped.map(({ file }) => file))
    return { table: begun.name, version: model.handle.version, sequence: endSequence, bytes: written.bytes }
  }

  /** Returns the table in its present state if it still has the version, or else null. */
  #find(tableId: number, model: VersionModel): TableModel | null {
    for (const table of this.#dependencies.tables.values()) {
      if (table.id === tableId) return table.versions.get(model.handle.version) === model ? table : null
    }
    return null
  }
}
