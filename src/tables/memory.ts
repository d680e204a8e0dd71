/** Allocates table memory within the quota. */
import { LIMITS } from '../core/limits.ts'
import { refuse } from '../core/errors.ts'
import { assert } from '../core/assert.ts'
import { createTableMemory, givePagesBack } from '../kernels/memories.ts'
import type { SegmentHandle } from './handles.ts'
import { memoryBytes, planSegments } from '../layout/table-layout.ts'

/**
 * The only allocator of table memory. Every byte of every version, including versions that are still being
 * built, is reserved here first.
 */
export class TableMemory {
  readonly quotaBytes: number
  readonly #segmentBytesMax: number
  #reservedBytes = 0
  readonly #givingBack: Slice[] = []

  constructor(quotaBytes: number, segmentBytesMax: number = LIMITS.segmentBytesMax) {
    assert(Number.isSafeInteger(quotaBytes) && quotaBytes >= 0, 'the quota is a count of bytes')
    this.quotaBytes = quotaBytes
    this.#segmentBytesMax = segmentBytesMax
  }

  get reservedBytes(): number {
    return this.#reservedBytes
  }

  /**
   * Allocates the segments for `rows` rows of `rowBytes`, which the system zeroes when they are first
   * touched. Refuses MEMORY_QUOTA_EXCEEDED: allocating shared memory succeeds even when physical memory is
   * short, so the quota has to fail first.
   */
  allocate(rows: number, rowBytes: number): { segments: SegmentHandle[]; reservedBytes: number } {
    const layout = planSegments(rows, rowBytes, this.#segmentBytesMax)
    const bytes = memoryBytes(layout)
    if (this.#reservedBytes + bytes > this.quotaBytes) {
      const remedy =
        bytes > this.quotaBytes
          ? 'it can never fit'
          : 'it does not fit now; delete a table or wait for an old version to be freed'
      refuse(
        'MEMORY_QUOTA_EXCEEDED',
        `the table needs ${bytes} bytes, ${this.#reservedBytes} of ${this.quotaBytes} are in use: ${remedy}`,
      )
    }
    this.#reservedBytes += bytes
    const segments = layout.map(({ firstRow, rowCount, memoryBytes }) => ({
      memory: createTableMemory(memoryBytes),
      firstRow,
      rowCount,
    }))
    return { segments, reservedBytes: bytes }
  }

  /**
   * Returns `bytes`, which are those of `memories`, to the quota, as the system gets their pages: until the
   * garbage collectors of all threads have seen that nobody maps a memory any more, its pages would stay. No
   * thread may read the memories, which turn to zeros: the first {@link GIVE_BACK_BYTES} before this returns,
   * the others later. Where the system takes no advice, the pages stay until they are collected.
   */
  release(bytes: number, memories: readonly WebAssembly.Memory[]): void {
    assert(bytes <= this.#reservedBytes, 'the quota never releases more than was reserved')
    const slices = memories.flatMap((memory) => cutIntoSlices(memory))
    assert(slices.reduce((sum, slice) => sum + slice.bytes, 0) === bytes, 'a memory is released as a whole')
    this.#givingBack.push(...slices)
    if (this.#givingBack.length === slices.length) this.#giveBack()
  }

  /** Resolves when everything that was released has been given back. */
  async whenGivenBack(): Promise<void> {
    while (this.#givingBack.length > 0) await new Promise(setImmediate)
  }

  /** Gives slices back for one iteration of the event loop, and continues in the next one. */
  #giveBack(): void {
    for (let done = 0; done < GIVE_BACK_BYTES; ) {
      const slice = this.#givingBack.shift()
      if (slice === undefined) return
      givePagesBack(slice.memory, slice.from, slice.bytes)
      this.#reservedBytes -= slice.bytes
      done += slice.bytes
    }
    if (this.#givingBack.length > 0) setImmediate(() => this.#giveBack())
  }
}

/**
 * What the writer gives back at once: freeing it takes a few milliseconds at most, for which updates wait.
 */
const GIVE_BACK_BYTES = 32 * 1024 * 1024

interface Slice {
  memory: WebAssembly.Memory
  from: number
  bytes: number
}

const cutIntoSlices = (memory: WebAssembly.Memory): Slice[] => {
  const { byteLength } = memory.buffer
  return Array.from({ length: Math.ceil(byteLength / GIVE_BACK_BYTES) }, (_, i) => {
    const from = i * GIVE_BACK_BYTES
    return { memory, from, bytes: Math.min(GIVE_BACK_BYTES, byteLength - from) }
  })
}
