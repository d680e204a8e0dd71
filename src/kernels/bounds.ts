/** Assertions that the arguments of a kernel stay within its memories. */
import { assert } from '../core/assert.ts'
import { LIMITS } from '../core/limits.ts'
import { ROWS_AT, SPARE_BYTES } from '../layout/table-layout.ts'

/** Optimizer state is stored in rows too, of at most two float32 for each value of a table row. */
const ROW_BYTES_MAX = LIMITS.dimMax * 8
const INT32_END = 2 ** 31

/** Assertions about the arguments of a kernel, for one table memory and one arena. */
export interface Bounds {
  /** Asserts that `bytes` from `at` on lie in the arena. */
  region(at: number, bytes: number): void
  /** Asserts that `rowCount` rows of `rowBytes` and the spare bytes after them lie in the table memory. */
  segment(firstRow: number, rowCount: number, rowBytes: number): void
  /** Asserts that `bytes` from `rowsOffset` after the start of the rows on lie in the table memory. */
  elements(rowsOffset: number, bytes: number): void
}

/** Asserts that `count` is a number that a kernel can count to. */
export const assertCount = (count: number): void =>
  assert(count >>> 0 === count && count < INT32_END, 'a count is an int32')

/** Creates the assertions for memories that never grow. */
export const makeBounds = (tableBytes: number, arenaBytes: number): Bounds => ({
  region: (at, bytes) => assert(at >>> 0 === at && at + bytes <= arenaBytes, 'a region lies in the arena'),
  segment(firstRow, rowCount, rowBytes) {
    assertCount(firstRow)
    assertCount(rowCount)
    assert(firstRow + rowCount < INT32_END, 'rows are numbered by int32')
    assert(rowBytes >>> 0 === rowBytes && rowBytes <= ROW_BYTES_MAX, 'the size of a row is within its limit')
    assert(ROWS_AT + rowCount * rowBytes + SPARE_BYTES <= tableBytes, 'the rows lie in the table memory')
  },
  elements(rowsOffset, bytes) {
    assert(Number.isSafeInteger(rowsOffset) && rowsOffset >= 0, 'an offset is a count of bytes')
    assert(ROWS_AT + rowsOffset + bytes + SPARE_BYTES <= tableBytes, 'the elements lie in the table memory')
  },
})
