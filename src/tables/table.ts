import { assert } from '../core/assert.ts'
import type { TableKernels } from '../kernels/table.ts'
import { instantiateKernels } from '../kernels/table.ts'
import type { VersionHandle } from './handles.ts'
import { LOCK_AT, ROWS_AT, rowBytes, SEQUENCE_AT, STEP_AT, UPDATED_AT } from '../layout/table-layout.ts'

const lockWord = LOCK_AT / 4
const sequenceWord = SEQUENCE_AT / 4

/**
 * A version of a table as one thread sees it: views of the shared control words and the kernels over its segments.
 * Whoever reads it across an `await` pins it; a retired version reports once when the last pin is gone.
 */
export class TableVersion {
  readonly handle: VersionHandle
  readonly rowBytes: number
  readonly #words: Int32Array
  readonly #times: Float64Array
  readonly #kernels = new WeakMap<WebAssembly.Memory, TableKernels[]>()
  #pinCount = 0
  #onReleased: (() => void) | undefined

  constructor(handle: VersionHandle) {
    assert(handle.segments.length > 0, 'a version has at least one segment')
    this.handle = handle
    this.rowBytes = rowBytes(handle.dim, handle.dtype)
    const control = handle.segments[0].memory.buffer
    this.#words = new Int32Array(control, 0, ROWS_AT / 4)
    this.#times = new Float64Array(control, 0, ROWS_AT / 8)
  }

  /** The kernels of each segment over `arena`, made once per arena. */
  kernels(arena: WebAssembly.Memory): TableKernels[] {
    let kernels = this.#kernels.get(arena)
    if (kernels === undefined) {
      kernels = this.handle.segments.map((segment) => instantiateKernels(segment.memory, arena))
      this.#kernels.set(arena, kernels)
    }
    return kernels
  }

  /** The lock word: odd while the writer writes rows. Two equal even readings around a gather prove it whole. */
  readLock(): number {
    return Atomics.load(this.#words, lockWord)
  }

  /** Sleeps until the lock word may have moved, at most a millisecond. */
  waitForWriter(): void {
    const lock = this.readLock()
    if (lock & 1) Atomics.wait(this.#words, lockWord, lock, 1)
  }

  /** Committed updates so far. Two words: read again when the high one moved meanwhile. */
  readSequence(): number {
    for (;;) {
      const high = Atomics.load(this.#words, sequenceWord + 1)
      const low = Atomics.load(this.#words, sequenceWord)
      if (Atomics.load(this.#words, sequenceWord + 1) === high) return (high >>> 0) * 2 ** 32 + (low >>> 0)
    }
  }

  /** Milliseconds since 1970 of the last update, 0 when there was none. */
  readUpdatedAt(): number {
    return this.#times[UPDATED_AT / 8]
  }

  /** Gradient steps taken. Only the writer asks. */
  readStep(): number {
    return this.#times[STEP_AT / 8]
  }

  /** Sets the count of gradient steps, when state comes with the rows or the optimizer changes. Only the writer does. */
  writeStep(step: number): void {
    this.#times[STEP_AT / 8] = step
  }

  /**
   * The writer's write window: readers see an odd lock during `write` and repeat. An exception inside leaves rows half
   * written, which only a restart can mend, so it is not caught here.
   */
  write(changes: { sequence: number; step: number; nowMs: number }, write: () => void): void {
    assert((Atomics.add(this.#words, lockWord, 1) & 1) === 0, 'one writer at a time')
    write()
    this.#times[STEP_AT / 8] = changes.step
    this.#times[UPDATED_AT / 8] = changes.nowMs
    Atomics.store(this.#words, sequenceWord + 1, Math.floor(changes.sequence / 2 ** 32))
    Atomics.store(this.#words, sequenceWord, changes.sequence | 0)
    Atomics.add(this.#words, lockWord, 1)
    Atomics.notify(this.#words, lockWord)
  }

  pin(): void {
    this.#pinCount++
  }

  unpin(): void {
    assert(this.#pinCount > 0, 'unpinned more often than pinned')
    this.#pinCount--
    this.#reportWhenFree()
  }

  /** Whether somebody waits for the last pin to go. */
  get isRetired(): boolean {
    return this.#onReleased !== undefined
  }

  /** Says that no new reader will come; `onReleased` runs when the last pin is gone, at once if there is none. */
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
