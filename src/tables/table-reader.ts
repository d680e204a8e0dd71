/**
 * The read-only view of a table version. The writable view is in `table-writer.ts`; the two types are
 * unrelated, so code that only reads cannot obtain a method that writes.
 */
import { assert } from '../core/assert.ts'
import type { ReadKernels } from '../kernels/table.ts'
import { instantiateKernels } from '../kernels/table.ts'
import {
  type ControlWords,
  readLockWord,
  readSequenceWords,
  readUpdatedAtMs,
  viewControlWords,
  waitForLockWord,
} from '../layout/control-words.ts'
import { rowBytes } from '../layout/table-layout.ts'
import type { VersionHandle } from './handles.ts'

/**
 * Maps the control words of a version and instantiates the kernels over its segments. A caller that uses it
 * across an `await` pins it. After it is retired, it calls back once when the last pin is gone.
 */
export class TableReader {
  readonly handle: VersionHandle
  readonly rowBytes: number
  readonly #control: ControlWords
  readonly #kernels = new WeakMap<WebAssembly.Memory, ReadKernels[]>()
  #pinCount = 0
  #onReleased: (() => void) | undefined

  constructor(handle: VersionHandle) {
    assert(handle.segments.length > 0, 'a version has at least one segment')
    this.handle = handle
    this.rowBytes = rowBytes(handle.dim, handle.dtype)
    this.#control = viewControlWords(handle.segments[0].memory.buffer)
  }

  /** Returns the kernels of each segment over `arena`, which are instantiated once per arena. */
  kernels(arena: WebAssembly.Memory): ReadKernels[] {
    let kernels = this.#kernels.get(arena)
    if (kernels === undefined) {
      kernels = this.handle.segments.map((segment) => instantiateKernels(segment.memory, arena))
      this.#kernels.set(arena, kernels)
    }
    return kernels
  }

  /**
   * Returns the lock word, which is odd while the writer writes rows. If it is even and equal before and
   * after a gather, no row was written in between.
   */
  readLock(): number {
    return readLockWord(this.#control)
  }

  /** Blocks the thread until the lock word may have changed, for at most a millisecond. */
  waitForWriter(): void {
    const lock = this.readLock()
    if (lock & 1) waitForLockWord(this.#control, lock, 1)
  }

  /** Returns the count of committed updates. */
  readSequence(): number {
    return readSequenceWords(this.#control)
  }

  /** Returns the time of the last update in milliseconds since 1970, or 0 if there was none. */
  readUpdatedAt(): number {
    return readUpdatedAtMs(this.#control)
  }

  /** Keeps the version readable until the matching `unpin`. */
  pin(): void {
    this.#pinCount++
  }

  /** Ends one pin, and reports a retired version as released if it was the last one. */
  unpin(): void {
    assert(this.#pinCount > 0, 'a version is unpinned no more often than it was pinned')
    this.#pinCount--
    this.#reportWhenFree()
  }

  /** True if the version was retired and is still pinned. */
  get isRetired(): boolean {
    return this.#onReleased !== undefined
  }

  /**
   * Marks the version as no longer available to new readers. `onReleased` runs when the last pin is gone, or
   * at once if there is none.
   */
  retire(onReleased: () => void): void {
    assert(this.#onReleased === undefined, 'a version is retired once')
    this.#onReleased = onReleased
    this.#reportWhenFree()
  }

  #reportWhenFree(): void {
    if (this.#pinCount > 0) return
    const report = this.#onReleased
    this.#onReleased = undefined
    report?.()
  }
}
