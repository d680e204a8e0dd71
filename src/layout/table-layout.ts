/**
 * The memory layout of a table version. All arithmetic on table bytes is in this file.
 *
 * A version is one or more segments, each a shared 64-bit WebAssembly.Memory:
 *
 *     0        control words (of segment 0): lock at 64, sequence at 128, optimizer step at 192, time at 256
 *     4096     1,024 stripe words: row r of the segment is guarded by word r mod 1,024
 *     8192     rows, packed, rowBytes each, no padding
 *     + 16     spare bytes, so that a 16-byte load of the last row stays within the memory
 *
 * Optimizer state has memories of its own, because it is created and freed with the optimizer. Their layout
 * is the same, with the state's bytes per row. Lock and stripe words are counters: odd while the writer
 * writes, even otherwise.
 */
import { assert } from '../core/assert.ts'
import { LIMITS } from '../core/limits.ts'
import type { Dtype } from '../core/types.ts'

/** The lock word of the version. */
export const LOCK_AT = 64
/** The count of committed updates of the version: low word, then high word. */
export const SEQUENCE_AT = 128
/** The count of gradient steps taken, a float64. Only optimizers that count steps read it. */
export const STEP_AT = 192
/** The time of the last change in milliseconds since 1970, a float64. */
export const UPDATED_AT = 256
export const STRIPES_AT = 4096
export const STRIPE_COUNT = 1024
export const ROWS_AT = 8192
export const SPARE_BYTES = 16
/** An int8 row ends with 8 bytes: its float32 scale and its float32 bias. */
export const INT8_SUFFIX_BYTES = 8
/** Returns the offset of the scale in an int8 row of `dim` numbers. */
export const int8ScaleAt = (dim: number): number => dim
/** Returns the offset of the bias, which follows the scale. */
export const int8BiasAt = (dim: number): number => dim + 4
export const PAGE_BYTES = 65_536

assert(STRIPES_AT + STRIPE_COUNT * 4 === ROWS_AT, 'stripes end where rows begin')
assert(ROWS_AT % 64 === 0, 'rows begin on a cache line')

/** Returns the bytes of one stored row. An int8 row includes its float32 scale and bias. */
export const rowBytes = (dim: number, dtype: Dtype): number =>
  dtype === 'float32' ? dim * 4 : dtype === 'int8' ? dim + INT8_SUFFIX_BYTES : dim * 2

/**
 * Returns the bytes of all rows, reported as `bytes` in TableInfo. The limits keep every table below 2^53
 * bytes, so the result is exact.
 */
export const tableBytes = (rows: number, dim: number, dtype: Dtype): number => {
  assert(Number.isSafeInteger(rows) && rows >= 0 && rows <= LIMITS.tableRowsMax, `rows ${rows}`)
  assert(Number.isSafeInteger(dim) && dim >= 0 && dim <= LIMITS.dimMax, `dim ${dim}`)
  return rows * rowBytes(dim, dtype)
}

/** The rows that one memory of a table version holds, and its size. */
export interface SegmentLayout {
  firstRow: number
  rowCount: number
  /** The size of the memory, a whole number of pages. */
  memoryBytes: number
}

/**
 * Splits rows of `rowBytes` into segments of at most `segmentBytesMax`. A table without rows gets one
 * segment, which holds only its control words.
 */
export const planSegments = (
  rows: number,
  rowBytes: number,
  segmentBytesMax: number = LIMITS.segmentBytesMax,
): SegmentLayout[] => {
  assert(segmentBytesMax % PAGE_BYTES === 0, 'segments are whole pages')
  const rowsPerSegment = Math.floor((segmentBytesMax - ROWS_AT - SPARE_BYTES) / Math.max(1, rowBytes))
  assert(rowsPerSegment >= 1, 'a segment holds at least one row')
  const segments: SegmentLayout[] = []
  for (let firstRow = 0; firstRow < rows || firstRow === 0; firstRow += rowsPerSegment) {
    const rowCount = Math.min(rowsPerSegment, rows - firstRow)
    const bytes = ROWS_AT + rowCount * rowBytes + SPARE_BYTES
    segments.push({ firstRow, rowCount, memoryBytes: Math.ceil(bytes / PAGE_BYTES) * PAGE_BYTES })
  }
  return segments
}

/** Returns the bytes that a version uses of the memory quota: all pages of all its segments. */
export const memoryBytes = (segments: readonly SegmentLayout[]): number =>
  segments.reduce((sum, segment) => sum + segment.memoryBytes, 0)
