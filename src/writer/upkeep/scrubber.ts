/** The scrubber finds damaged snapshots while the rows that they should hold are still in memory. */
import { join } from 'node:path'
import type { CatalogSnapshot } from '../../storage/catalog-rows.ts'
import { setAside } from '../../storage/damaged-files.ts'
import { StoredDataRefusal } from '../../storage/refusals.ts'
import { verifySnapshot } from '../../storage/snapshot-read.ts'
import type { Store } from '../../storage/store.ts'
import type { Snapshots } from './snapshots.ts'
import type { TableModel, VersionModel } from '../lifecycle/table-model.ts'

export interface ScrubberDependencies {
  store: Store
  snapshots: Snapshots
  tables: ReadonlyMap<string, TableModel>
  onError: (error: unknown) => void
  /** The period in which every snapshot file is read and checked. */
  everyMs: number
  /** How often the scrubber looks for a file that is due. */
  tickMs?: number
}

/** The pause before a file that could not be opened is checked again. */
const RETRY_MS = 60_000

interface Listed {
  table: TableModel
  model: VersionModel
  snapshot: CatalogSnapshot
}

/**
 * Reads every snapshot file whole once in a period and compares it with its checksums. A file that is
 * damaged, or that the disk does not read, is reported, set aside and replaced by new snapshots.
 */
export class Scrubber {
  readonly #dependencies: ScrubberDependencies
  readonly #timer: NodeJS.Timeout
  /**
   * The time of each snapshot's last check, by id. A new snapshot counts as checked, since it was written
   * just now.
   */
  readonly #checkedAtMs = new Map<number, number>()
  #checking: Promise<void> | null = null

  constructor(dependencies: ScrubberDependencies) {
    this.#dependencies = dependencies
    for (const { snapshot } of this.#listAll()) this.#checkedAtMs.set(snapshot.id, performance.now())
    this.#timer = setInterval(() => this.#tick(), dependencies.tickMs ?? 60_000)
    this.#timer.unref()
  }

  async close(): Promise<void> {
    clearInterval(this.#timer)
    await this.#checking
  }

  #tick(): void {
    if (this.#checking !== null || this.#dependencies.store.failure !== null) return
    const nowMs = performance.now()
    const all = this.#listAll()
    const known = new Set(all.map(({ snapshot }) => snapshot.id))
    for (const id of this.#checkedAtMs.keys()) if (!known.has(id)) this.#checkedAtMs.delete(id)
    for (const { snapshot } of all)
      if (!this.#checkedAtMs.has(snapshot.id)) this.#checkedAtMs.set(snapshot.id, nowMs)
    const checkedAt = ({ snapshot }: Listed) => this.#checkedAtMs.get(snapshot.id) ?? nowMs
    const [due] = all.sort((a, b) => checkedAt(a) - checkedAt(b))
    if (due === undefined || nowMs - checkedAt(due) < this.#dependencies.everyMs) return
    this.#checkedAtMs.set(due.snapshot.id, nowMs)
    this.#checking = this.#check(due)
      .catch(this.#dependencies.onError)
      .finally(() => (this.#checking = null))
  }

  async #check({ table, model, snapshot }: Listed): Promise<void> {
    const { store, onError, snapshots } = this.#dependencies
    try {
      await verifySnapshot(join(store.paths.snapshots, snapshot.file), snapshot.sha256)
    } catch (error) {
      const { stored } = model
      // The snapshot was replaced meanwhile, or the failure does not concern the contents of the file.
      if (!stored.snapshots.includes(snapshot)) return
      if (!(error instanceof StoredDataRefusal)) throw error
      onError(error)
      if (error.code === 'NotOpened') {
        // This says nothing about the file, which is checked again soon.
        this.#checkedAtMs.set(snapshot.id, performance.now() - this.#dependencies.everyMs + RETRY_MS)
        return
      }
      // Damaged, or not to be read again and again: the rows are in memory, and the file is kept.
      setAside(join(store.paths.snapshots, snapshot.file))
      // The damaged snapshot becomes the oldest, so that the next snapshot drops it. If it was the only one,
      // the second new one drops it.
      stored.snapshots = [snapshot, ...stored.snapshots.filter((one) => one !== snapshot)]
      while (stored.snapshots.includes(snapshot) && (await snapshots.take(table, model)) !== null);
    }
  }

  #listAll(): Listed[] {
    return [...this.#dependencies.tables.values()].flatMap((table) =>
      [...table.versions.values()].flatMap((model) =>
        model.stored.snapshots.map((snapshot) => ({ table, model, snapshot })),
      ),
    )
  }
}
