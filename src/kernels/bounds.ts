import { assert } from '../core/assert.ts'
import { LIMITS } from '../core/limits.ts'
import { ROWS_AT, SPARE_BYTES } from '../layout/table-layout.ts'

/** Optimizer state lies in rows too: at most two float32 for each value of a table row. */
const ROW_BYTES_MAX = LIMITS.dimMax * 8
const INT32_END = 2 ** 31

/** Assertions about the arguments of a kernel, for one table memory and one arena. */
export interface Bounds {
  /** `bytes` from `at` on lie in the arena. */
  region(at: number, bytes: number): void
  /** `rowCount` rows of `rowBytes` and the spare bytes behind them lie in the table memory. */
  segment(firstRow: number, rowCount: number, rowBytes: number): void
  /** So do `bytes` that begin `rowsOffset` behind the first row. */
  elements(rowsOffset: number, bytes: number): void
}

/** Throws unless `count` is one that a kernel can count to. */
export const assertCount = (count: number): void =>
  assert(count >>> 0 === count && count < INT32_END, 'a count is an int32')

/** The bounds of memories that never grow. */
export const makeBounds = (tableBytes: number, arenaBytes: number): Bounds => ({
  region: (at, bytes) => assert(at >>> 0 === at && at + bytes <= arenaBytes, 'a region lies in the arena'),
  segment(firstRow, rowCount, rowBytes) {
    assertCount(firstRow)
    assertCount(rowCount)
    assert(firstRow + rowCount < INT32_END, 'rows are numbered by int32')
    assert(rowBytes >>> 0 === rowBytes && rowBytes <= ROW_BYTES_MAX, 'a row has a size')
    assert(ROWS_AT + rowCount * rowBytes + SPARE_BYTES <= tableBytes, 'the rows lie in the table memory')
  },
  elements(rowsOffset, bytes) {
    assert(Number.isSafeInteger(rowsOffset) && rowsOffset >= 0, 'an offset is a count of bytes')
    assert(ROWS_AT + rowsOffset + bytes + SPARE_BYTES <= tableBytes, 'the elements lie in the table memory')
  },
})
