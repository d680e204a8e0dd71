import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { failpoint } from '../../storage/failpoints.ts'
import type { Store } from '../../storage/store.ts'

/**
 * Removes from the data directory what the catalog does not list any more: journal records and files. In the background, one after another; a crash
 * in between leaves it to the next start.
 */
export class Cleanup {
  readonly #store: Store
  readonly #onError: (error: unknown) => void
  #tail: Promise<void> = Promise.resolve()

  constructor(store: Store, onError: (error: unknown) => void) {
    this.#store = store
    this.#onError = onError
  }

  /** Records of a version through `throughSequence`. */
  records(tableId: number, version: number, throughSequence: number): void {
    this.#add(async () => {
      while (this.#store.failure === null && !this.#store.pruneJournal(tableId, version, throughSequence))
        await setImmediate()
    })
  }

  /** Files of the folder of snapshots. */
  files(names: readonly string[]): void {
    this.#add(async () => {
      failpoint('forget:begun')
      for (const name of names) await rm(join(this.#store.paths.snapshots, name), { force: true })
      failpoint('forget:done')
    })
  }

  /**
   * A file whose listing was refused. After a failure of the store nobody knows whether the catalog has it: then it stays, for the next start
   * to judge.
   */
  unlisted(...names: string[]): void {
    if (this.#store.failure === null) this.files(names)
  }

  /** Resolves when everything so far is gone. */
  whenIdle(): Promise<void> {
    return this.#tail
  }

  #add(work: () => Promise<void>): void {
    this.#tail = this.#tail.then(work).catch(this.#onError)
  }
}
