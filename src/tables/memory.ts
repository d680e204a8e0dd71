/** Allocates table memory within the quota. */
import { LIMITS } from '../core/limits.ts'
import { refuse } from '../core/errors.ts'
import { assert } from '../core/assert.ts'
import { createTableMemory } from '../kernels/memories.ts'
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

  /** Returns `bytes` of an earlier reservation to the quota. */
  release(bytes: number): void {
    assert(bytes <= this.#reservedBytes, 'the quota never releases more than was reserved')
    this.#reservedBytes -= bytes
  }
}
