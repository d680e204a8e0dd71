import { assert } from '../core/assert.ts'
import type { Dtype } from '../core/types.ts'
import { rowBytes } from '../layout/table-layout.ts'
import { assertCount, type Bounds, makeBounds } from './bounds.ts'
import { METRIC_CODES, SOURCE_CODES } from './codes.ts'
import { instantiateModule } from './compiled-modules.ts'

/**
 * The comparison of a query and a row. A greater dot or cosine is better, a smaller l2 (the Euclidean
 * distance).
 */
export type Metric = keyof typeof METRIC_CODES

/** Packed rows are read up to this far behind their end; what is there does not matter. */
export const PACKED_SPARE_BYTES = 16

/** Bytes of a query in the arena: float32, zeros up to a multiple of four numbers. */
export const queryBytes = (dim: number): number => Math.ceil(dim / 4) * 16

/**
 * Bytes of a heap of the best `capacity` scores of a query. A heap is empty when its first four bytes are
 * zero.
 */
export const heapBytes = (capacity: number): number => 8 + capacity * 8

/**
 * Queries against runs of rows. Arguments ending in `At` are byte addresses of the arena; queries follow each
 * other at `queryBytes(dim)`.
 *
 * Lane j of four adds up a pair's terms (q*a; for l2 the square of a-q) of the columns j, j+4, j+8, .. from
 * zero, in ascending order but the last `dim` mod 4 columns first; the sum is (lane 0 + lane 2) + (lane 1 +
 * lane 3). dot is the sum, l2 its square root; cosine is the sum divided by the length of the row (the root
 * of its squares, summed alike; a length of zero gives 0), for queries whose own length is one. Every
 * operation rounds to float32. There is no minus zero; any NaN is 7FC00000.
 */
export interface AttendKernels {
  /**
   * Rows of the table from row `localRow` of the segment on: the score of query q and row i -> place q *
   * stride + i of the float32 at `outAt`. Ends with a fence: a lock word that is read afterwards is read
   * after the rows.
   */
  score(
    metric: Metric,
    dtype: Dtype,
    localRow: number,
    rowCount: number,
    queriesAt: number,
    queryCount: number,
    dim: number,
    outAt: number,
    stride: number,
  ): void
  /** The same of float32 rows in the arena, with PACKED_SPARE_BYTES behind them. */
  scorePacked(
    metric: Metric,
    rowsAt: number,
    rowCount: number,
    queriesAt: number,
    queryCount: number,
    dim: number,
    outAt: number,
    stride: number,
  ): void
  /**
   * Offers scores as `score` leaves them to the heaps of their queries, which keep the best `capacity`: ties
   * go to the lower index, NaN comes last. Score i is that of row firstIndex + i; row `skippedIndex` is left
   * out. Over all calls on a heap the rows come in ascending order.
   */
  offerScores(
    metric: Metric,
    scoresAt: number,
    stride: number,
    rowCount: number,
    queryCount: number,
    firstIndex: number,
    skippedIndex: number,
    heapsAt: number,
    capacity: number,
  ): void
  /**
   * Joins `setCount` sets of heaps, `setBytes` apart, into the first, and writes what each query found, best
   * first: int64 indices and float32 scores, `capacity` places a query. Returns how many of them the query
   * with the fewest fills. The heaps are used up.
   */
  settleTop(
    metric: Metric,
    heapsAt: number,
    setCount: number,
    setBytes: number,
    queryCount: number,
    capacity: number,
    indicesAt: number,
    scoresAt: number,
  ): number
}

type Exports = Record<'score' | 'scorePacked' | 'offerScores' | 'settleTop', (...values: number[]) => number>

const makeScores = (exports: Exports, bounds: Bounds): Pick<AttendKernels, 'score' | 'scorePacked'> => {
  const check = (
    rowCount: number,
    queriesAt: number,
    queryCount: number,
    dim: number,
    outAt: number,
    stride: number,
  ): void => {
    assertCount(rowCount)
    assertCount(queryCount)
    assertCount(stride)
    bounds.region(queriesAt, queryCount * queryBytes(dim))
    if (rowCount > 0 && queryCount > 0) bounds.region(outAt, ((queryCount - 1) * stride + rowCount) * 4)
  }
  return {
    score(metric, dtype, localRow, rowCount, queriesAt, queryCount, dim, outAt, stride) {
      check(rowCount, queriesAt, queryCount, dim, outAt, stride)
      assertCount(localRow)
      bounds.segment(0, localRow + rowCount, rowBytes(dim, dtype))
      exports.score(
        SOURCE_CODES[dtype],
        METRIC_CODES[metric],
        localRow,
        rowCount,
        queriesAt,
        queryCount,
        dim,
        outAt,
        stride,
      )
    },
    scorePacked(metric, rowsAt, rowCount, queriesAt, queryCount, dim, outAt, stride) {
      check(rowCount, queriesAt, queryCount, dim, outAt, stride)
      bounds.region(rowsAt, rowCount * rowBytes(dim, 'float32') + PACKED_SPARE_BYTES)
      exports.scorePacked(METRIC_CODES[metric], rowsAt, rowCount, queriesAt, queryCount, dim, outAt, stride)
    },
  }
}

const makeHeaps = (exports: Exports, bounds: Bounds): Pick<AttendKernels, 'offerScores' | 'settleTop'> => ({
  offerScores(metric, scoresAt, stride, rowCount, queryCount, firstIndex, skippedIndex, heapsAt, capacity) {
    for (const count of [stride, rowCount, queryCount, firstIndex, capacity]) assertCount(count)
    assert(capacity > 0, 'a heap has room')
    if (rowCount > 0 && queryCount > 0) bounds.region(scoresAt, ((queryCount - 1) * stride + rowCount) * 4)
    bounds.region(heapsAt, queryCount * heapBytes(capacity))
    const smallestFirst = metric === 'l2' ? 1 : 0
    exports.offerScores(
      scoresAt,
      stride,
      rowCount,
      queryCount,
      firstIndex,
      skippedIndex,
      heapsAt,
      capacity,
      smallestFirst,
    )
  },
  settleTop(metric, heapsAt, setCount, setBytes, queryCount, capacity, indicesAt, scoresAt) {
    for (const count of [setCount, setBytes, queryCount, capacity]) assertCount(count)
    assert(
      setCount > 0 && (setCount === 1 || setBytes >= queryCount * heapBytes(capacity)),
      'sets of heaps lie apart',
    )
    bounds.region(heapsAt, (setCount - 1) * setBytes + queryCount * heapBytes(capacity))
    bounds.region(indicesAt, queryCount * capacity * 8)
    bounds.region(scoresAt, queryCount * capacity * 4)
    return exports.settleTop(
      heapsAt,
      setCount,
      setBytes,
      queryCount,
      capacity,
      indicesAt,
      scoresAt,
      metric === 'l2' ? 1 : 0,
    )
  },
})

/** The kernels over two memories of `memories.ts`. */
export const instantiateAttendKernels = (
  table: WebAssembly.Memory,
  arena: WebAssembly.Memory,
): AttendKernels => {
  const exports = instantiateModule<Exports>('attend', { table, arena })
  const bounds = makeBounds(table.buffer.byteLength, arena.buffer.byteLength)
  return { ...makeScores(exports, bounds), ...makeHeaps(exports, bounds) }
}
