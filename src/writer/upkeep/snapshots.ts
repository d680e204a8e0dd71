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
import { reserveState, releaseState } from '../lifecycle/optimizer-state.ts'
import { toCatalogSnapshot, toSnapshotFacts, toSnapshotMemory } from '../lifecycle/to-catalog.ts'
import type { TableModel, VersionModel } from '../lifecycle/table-model.ts'

const TICK_MS = 1_000
/** After a snapshot that failed: the disk is full, more likely than not. */
const RETRY_MS = 10_000
const KEPT_COUNT = 2

export interface SnapshotsDependencies {
  store: Store
  memory: TableMemory
  keys: Idempotency
  cleanup: Cleanup
  tables: ReadonlyMap<string, TableModel>
  onError: (error: unknown) => void
  /** A version with this much journal since its snapshot gets another one, and one whose snapshot is so old. */
  journalBytes: number
  ageMs: number
}

/** Changed since the newest snapshot, so that a start has records to replay, or would lose updates of mode `none`. */
const isStale = ({ stored, table }: VersionModel): boolean =>
  stored.journalBytes > 0 || stored.durableSequence < table.readSequence()

/** Writes snapshots, one at a time: when there is much journal, when the last one is old, on demand, and in the end. Updates go on meanwhile. */
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
   * Writes one of a version; null when the version is gone before it is listed. The whole version is covered when this resolves, and stays so in
   * the same turn. Rejects with DISK_FULL, or StoreFailed.
   */
  take(table: TableModel, version: VersionModel): Promise<SnapshotSummary | null> {
    const taken = this.#tail.then(() => this.#write(table.id, version))
    this.#tail = taken.catch(() => {})
    return taken
  }

  /** Writes one of every version that has changed since its last one. */
  async takeStale(): Promise<SnapshotSummary[]> {
    const stale = [...this.#dependencies.tables.values()]
      .flatMap((table) => [...table.versions.values()].map((version) => ({ table, version })))
      .filter(({ version }) => isStale(version))
      // What only a snapshot saves comes first.
      .sort(
        (a, b) =>
          Number(a.table.settings.durability !== 'none') - Number(b.table.settings.durability !== 'none'),
      )
    const taken: SnapshotSummary[] = []
    for (const { table, version } of stale) taken.push(...[(await this.take(table, version)) ?? []].flat())
    return taken
  }

  /** Writes the last ones, for a while, and no more after that. */
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
    this.take(due.table, due.version)
      .catch((error: unknown) => {
        this.#retryAtMs = performance.now() + RETRY_MS
        this.#dependencies.onError(error)
      })
      .finally(() => (this.#isBusy = false))
  }

  /** The version with the most journal, if that is too much; else one whose snapshot is too old. */
  #findDue(): { table: TableModel; version: VersionModel } | null {
    const all = [...this.#dependencies.tables.values()].flatMap((table) =>
      [...table.versions.values()].map((version) => ({ table, version })),
    )
    const [largest] = all.sort((a, b) => b.version.stored.journalBytes - a.version.stored.journalBytes)
    if (largest !== undefined && largest.version.stored.journalBytes >= this.#dependencies.journalBytes)
      return largest
    const before = Date.now() - this.#dependencies.ageMs
    return (
      all.find(
        ({ version }) => isStale(version) && (version.stored.snapshots.at(-1)?.createdAtMs ?? 0) < before,
      ) ?? null
    )
  }

  async #write(tableId: number, version: VersionModel): Promise<SnapshotSummary | null> {
    const { store, memory } = this.#dependencies
    const table = this.#find(tableId, version)
    if (table === null) return null
    this.#abort.signal.throwIfAborted()
    const { stored, state } = version
    const bytesBefore = stored.journalBytes
    // Without a journal nothing would make the file whole: rows change while it is written.
    stored.journalPins++
    if (state !== null) reserveState(state)
    try {
      const facts = toSnapshotFacts(table, version)
      const { signal } = this.#abort
      const written = await writeSnapshot(
        store.paths.snapshots,
        facts,
        toSnapshotMemory(version),
        signal,
      ).catch((error: unknown) => {
        // Not what we broke off ourselves.
        throw signal.aborted || (error as NodeJS.ErrnoException).code === undefined
          ? error
          : store.classify('a snapshot', error)
      })
      return this.#list(table, version, facts, written, bytesBefore)
    } finally {
      stored.journalPins--
      if (state !== null) releaseState(state, memory)
    }
  }

  /** Makes a file count that is whole by now, together with the journal. Of the snapshots before, one is kept. */
  #list(
    begun: TableModel,
    version: VersionModel,
    facts: SnapshotFacts,
    written: WrittenSnapshot,
    bytesBefore: number,
  ): SnapshotSummary | null {
    const { store, keys, cleanup } = this.#dependencies
    if (this.#find(begun.id, version) === null) {
      cleanup.files([written.file])
      return null
    }
    const { stored } = version
    const endSequence = version.table.readSequence()
    const end = { endSequence, stateEpoch: begun.stateEpoch, nowMs: Date.now() }
    const snapshot = toCatalogSnapshot(store.takeId(), facts, written, end)
    const dropped = stored.snapshots.slice(0, -(KEPT_COUNT - 1))
    const saved = keys.listUnsaved(version)
    const changes: CatalogChange[] = dropped.map(({ id }) => ({ kind: 'delete-snapshot', snapshotId: id }))
    try {
      store.commit({ changes: [{ kind: 'put-snapshot', snapshot }, ...changes], keys: saved })
    } catch (error) {
      cleanup.unlisted(written.file)
      throw error
    }
    failpoint('snapshot:listed')
    keys.forgetUnsaved(saved)
    stored.snapshots = [...stored.snapshots.slice(-(KEPT_COUNT - 1)), snapshot]
    // An adapter's change may be journaled already, and not yet counted.
    stored.durableSequence = Math.max(stored.durableSequence, endSequence)
    stored.journalBytes -= bytesBefore
    cleanup.records(begun.id, version.handle.version, prunableThrough(stored.snapshots))
    cleanup.files(dropped.map(({ file }) => file))
    return { table: begun.name, version: version.handle.version, sequence: endSequence, bytes: written.bytes }
  }

  /** The table as it is now, while it has the version. */
  #find(tableId: number, version: VersionModel): TableModel | null {
    for (const table of this.#dependencies.tables.values()) {
      if (table.id === tableId) return table.versions.get(version.handle.version) === version ? table : null
    }
    return null
  }
}
