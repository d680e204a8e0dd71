import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { failpoint } from '../../storage/failpoints.ts'
import type { Store } from '../../storage/store.ts'

/**
 * Removes journal records and files that the catalog no longer lists. The work runs in the background, one
 * item after another. A crash in between leaves the rest to the next start.
 */
export class Cleanup {
  readonly #store: Store
  readonly #onError: (error: unknown) => void
  #tail: Promise<void> = Promise.resolve()

  constructor(store: Store, onError: (error: unknown) => void) {
    this.#store = store
    this.#onError = onError
  }

  /** Removes the records of a version through `throughSequence`. */
  records(tableId: number, version: number, throughSequence: number): void {
    this.#add(async () => {
      while (this.#store.failure === null && !this.#store.pruneJournal(tableId, version, throughSequence))
        await setImmediate()
    })
  }

  /** Removes files of the snapshot folder. */
  files(names: readonly string[]): void {
    this.#add(async () => {
      failpoint('forget:begun')
      for (const name of names) await rm(join(this.#store.paths.snapshots, name), { force: true })
      failpoint('forget:done')
    })
  }

  /**
   * Removes files whose listing was refused. After a failure of the store it is unknown whether the catalog
   * lists them, so they stay, and the next start decides.
   */
  unlisted(...names: string[]): void {
    if (this.#store.failure === null) this.files(names)
  }

  /** Resolves when everything so far has been removed. */
  whenIdle(): Promise<void> {
    return this.#tail
  }

  #add(work: () => Promise<void>): void {
    this.#tail = this.#tail.then(work).catch(this.#onError)
  }
}
