/** The kernels that score queries against rows and keep the best rows. */
import { assert } from '../core/assert.ts'
import type { Dtype } from '../core/types.ts'
import { rowBytes } from '../layout/table-layout.ts'
import { assertCount, type Bounds, makeBounds } from './bounds.ts'
import { METRIC_CODES, SOURCE_CODES } from './codes.ts'
import { instantiateModule } from './compiled-modules.ts'

/**
 * The metric that compares a query with a row. A greater dot or cosine is better, a smaller l2 (the Euclidean
 * distance).
 */
export type Metric = keyof typeof METRIC_CODES

/** Kernels read up to this many bytes after the end of packed rows; the values there do not matter. */
export const PACKED_SPARE_BYTES = 16

/** Returns the bytes of a query in the arena: float32, padded with zeros to a multiple of four numbers. */
export const queryBytes = (dim: number): number => Math.ceil(dim / 4) * 16

/**
 * Returns the bytes of a heap of the best `capacity` scores of a query. A heap is empty if its first four
 * bytes are zero.
 */
export const heapBytes = (capacity: number): number => 8 + capacity * 8

/**
 * Scores queries against runs of rows. Arguments that end in `At` are byte addresses of the arena; queries
 * follow each other at a distance of `queryBytes(dim)`.
 *
 * The terms of a query and a row (q*a; for l2 the square of a-q) are summed in four lanes. Lane j adds up the
 * columns j, j+4, j+8, .. from zero in ascending order, except that the last `dim` mod 4 columns come first;
 * the sum is (lane 0 + lane 2) + (lane 1 + lane 3). dot is the sum, l2 its square root; cosine is the sum
 * divided by the length of the row (the root of its squares, summed the same way; a length of zero gives 0),
 * for queries of length one, and never beyond -1 and 1. Every operation rounds to float32. A dot that is not
 * finite, and an l2 or a length that is infinite or below SAFE_LENGTH_MIN, are taken again in float64, lane
 * for lane, and rounded once. Scores are never minus zero, and every NaN is 7FC00000.
 */
export interface AttendKernels {
  /**
   * Scores rows of the table from row `localRow` of the segment on. The score of query q and row i goes to
   * index q * stride + i of the float32 at `outAt`. Ends with a fence, so that a lock word loaded afterwards
   * is loaded after the rows.
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
  /** Scores float32 rows in the arena, with PACKED_SPARE_BYTES after them. */
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
   * Offers scores as `score` stores them to the heaps of their queries, which keep the best `capacity`: ties
   * go to the lower index, NaN comes last. Score i belongs to row firstIndex + i; row `skippedIndex` is
   * excluded. The calls on a heap must offer rows in ascending order.
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
   * Merges `setCount` sets of heaps, `setBytes` apart, into the first set and writes the results of each
   * query, best first: int64 indices and float32 scores, with space for `capacity` per query. Returns the
   * smallest count of results of a query. Destroys the heaps.
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
    assert(capacity > 0, 'the capacity of a heap is above zero')
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
      'sets of heaps do not overlap',
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

/** Instantiates the kernels over two memories of `memories.ts`. */
export const instantiateAttendKernels = (
  table: WebAssembly.Memory,
  arena: WebAssembly.Memory,
): AttendKernels => {
  const exports = instantiateModule<Exports>('attend', { table, arena })
  const bounds = makeBounds(table.buffer.byteLength, arena.buffer.byteLength)
  return { ...makeScores(exports, bounds), ...makeHeaps(exports, bounds) }
}
