/**
 * A table version as a thread that only reads sees it. The writer's view is `table-writer.ts`; neither type
 * can stand in for the other, so a reader cannot come by a method that writes.
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
 * Views of a version's control words and the kernels over its segments. A caller that reads it across an
 * `await` pins it; a retired version reports once when the last pin is gone.
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

  /** The kernels of each segment over `arena`, made once per arena. */
  kernels(arena: WebAssembly.Memory): ReadKernels[] {
    let kernels = this.#kernels.get(arena)
    if (kernels === undefined) {
      kernels = this.handle.segments.map((segment) => instantiateKernels(segment.memory, arena))
      this.#kernels.set(arena, kernels)
    }
    return kernels
  }

  /**
   * The lock word: odd while the writer writes rows. Two equal even readings around a gather prove it whole.
   */
  readLock(): number {
    return readLockWord(this.#control)
  }

  /** Sleeps until the lock word may have changed, at most a millisecond. */
  waitForWriter(): void {
    const lock = this.readLock()
    if (lock & 1) waitForLockWord(this.#control, lock, 1)
  }

  /** Committed updates so far. */
  readSequence(): number {
    return readSequenceWords(this.#control)
  }

  /** Milliseconds since 1970 of the last update, 0 when there was none. */
  readUpdatedAt(): number {
    return readUpdatedAtMs(this.#control)
  }

  pin(): void {
    this.#pinCount++
  }

  unpin(): void {
    assert(this.#pinCount > 0, 'unpinned more often than pinned')
    this.#pinCount--
    this.#reportWhenFree()
  }

  /** Whether the version was retired and is still pinned. */
  get isRetired(): boolean {
    return this.#onReleased !== undefined
  }

  /**
   * Says that no new reader will come; `onReleased` runs when the last pin is gone, at once if there is none.
   */
  retire(onReleased: () => void): void {
    assert(this.#onReleased === undefined, 'retired once')
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
