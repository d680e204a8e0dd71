/**
 * The kernels that read the ids and values of an update from its update source and merge the values of equal
 * ids.
 */
import { assert } from '../core/assert.ts'
import { assertCount } from './bounds.ts'
import { instantiateModule } from './compiled-modules.ts'

/**
 * The destinations of the results of {@link UpdateSourceKernels.coalesce}, as byte addresses of the arena.
 */
export interface CoalescedAt {
  /** The hash table that finds rows: `capacity` int32. */
  slotsAt: number
  /** The capacity of the hash table, a power of two above `count`. */
  capacity: number
  /**
   * Four lists of `count` int32. The first three are only filled for as many entries as there are distinct
   * rows.
   */
  rowsAt: number
  firstsAt: number
  lastsAt: number
  nextsAt: number
}

/**
 * Kernels that read the numbers of an update directly from its update source, which they never write, and
 * write results to an arena. Addresses of indices and values are bytes of the update source, all others of
 * the arena, and all are multiples of 4. The update source may be the same memory as the arena, in which case
 * the regions do not overlap. The kernels allocate nothing and write only the regions named. Arguments are
 * asserted in O(1).
 */
export interface UpdateSourceKernels {
  /**
   * Finds the distinct rows among `count` int32, in the order of their first appearance, without `skippedRow`
   * (-1: none). `firsts` and `lasts` hold the position of each row's first and last appearance; `nexts`
   * holds, for each position, the next position of the same row, or -1. Returns the count of distinct rows,
   * or -1 - i if the i-th index is outside 0..rowCount-1.
   */
  coalesce(indicesAt: number, count: number, rowCount: number, skippedRow: number, found: CoalescedAt): number
  /**
   * Sets row s of the `slotCount` packed rows at `targetAt` to the sum of the rows of `values` in list s,
   * which begins at position `firsts[s]` and continues through `nexts`. The rows are added in that order and
   * every addition rounds to float32. `values` has `count` rows.
   */
  sumRows(
    firstsAt: number,
    nextsAt: number,
    slotCount: number,
    valuesAt: number,
    count: number,
    targetAt: number,
    dim: number,
  ): void
  /** Adds the rows of list s to the existing row s; otherwise like `sumRows`. */
  addRows: UpdateSourceKernels['sumRows']
  /** Sets row s of the packed rows at `targetAt` to the row of `values` at position `places[s]`. */
  copyRows(
    placesAt: number,
    slotCount: number,
    valuesAt: number,
    count: number,
    targetAt: number,
    dim: number,
  ): void
  /** Returns the index of the first float32 that is infinite or NaN, or -1. */
  findNonFinite(valuesAt: number, count: number): number
}

type Exports = Record<keyof UpdateSourceKernels, (...values: number[]) => number>

/** Asserts that `count` numbers from a byte address on lie within a memory. */
type CheckRegion = (at: number, count: number) => void

const makeRegionCheck =
  (bytesMax: number): CheckRegion =>
  (at, count) =>
    assert(
      at >>> 0 === at && at % 4 === 0 && at + count * 4 <= bytesMax,
      'numbers are aligned and lie within their memory',
    )

const makeCoalesce =
  (exports: Exports, source: CheckRegion, target: CheckRegion): UpdateSourceKernels['coalesce'] =>
  (indicesAt, count, rowCount, skippedRow, found) => {
    const { slotsAt, capacity, rowsAt, firstsAt, lastsAt, nextsAt } = found
    assertCount(count)
    assertCount(rowCount)
    assertCount(capacity)
    assert(
      capacity > count && (capacity & (capacity - 1)) === 0,
      'the capacity is a power of two above the count',
    )
    source(indicesAt, count)
    assert(rowsAt > 0, 'the word before the rows can be read')
    target(slotsAt, capacity)
    for (const listAt of [rowsAt, firstsAt, lastsAt, nextsAt]) target(listAt, count)
    return exports.coalesce(
      indicesAt,
      count,
      rowCount,
      skippedRow,
      slotsAt,
      capacity,
      rowsAt,
      firstsAt,
      lastsAt,
      nextsAt,
    )
  }

/** Instantiates the kernels over two memories of `memories.ts`. */
export const instantiateUpdateSourceKernels = (
  updateSource: WebAssembly.Memory,
  arena: WebAssembly.Memory,
): UpdateSourceKernels => {
  const exports = instantiateModule<Exports>('update-source', { updateSource, arena })
  const source = makeRegionCheck(updateSource.buffer.byteLength)
  const target = makeRegionCheck(arena.buffer.byteLength)
  const checkRows = (
    slotCount: number,
    valuesAt: number,
    count: number,
    targetAt: number,
    dim: number,
  ): void => {
    assertCount(slotCount)
    assertCount(count)
    assertCount(dim * 4)
    source(valuesAt, count * dim)
    target(targetAt, slotCount * dim)
  }
  const combineRows =
    (kernel: 'sumRows' | 'addRows'): UpdateSourceKernels['sumRows'] =>
    (firstsAt, nextsAt, slotCount, valuesAt, count, targetAt, dim) => {
      checkRows(slotCount, valuesAt, count, targetAt, dim)
      target(firstsAt, slotCount)
      target(nextsAt, count)
      exports[kernel](firstsAt, nextsAt, slotCount, valuesAt, targetAt, dim)
    }
  return {
    coalesce: makeCoalesce(exports, source, target),
    sumRows: combineRows('sumRows'),
    addRows: combineRows('addRows'),
    copyRows(placesAt, slotCount, valuesAt, count, targetAt, dim) {
      checkRows(slotCount, valuesAt, count, targetAt, dim)
      target(placesAt, slotCount)
      exports.copyRows(placesAt, slotCount, valuesAt, targetAt, dim)
    },
    findNonFinite(valuesAt, count) {
      assertCount(count)
      source(valuesAt, count)
      return exports.findNonFinite(valuesAt, count)
    },
  }
}
