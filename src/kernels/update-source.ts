import { assert } from '../core/assert.ts'
import { assertCount } from './bounds.ts'
import { instantiateModule } from './compiled-modules.ts'

/** The places of the results of {@link UpdateSourceKernels.coalesce}, as byte addresses of the arena. */
export interface CoalescedAt {
  /** `capacity` int32 of its own, for finding rows. */
  slotsAt: number
  /** A power of two above `count`. */
  capacity: number
  /** `count` int32 each; of the first three as many as there are distinct rows mean something. */
  rowsAt: number
  firstsAt: number
  lastsAt: number
  nextsAt: number
}

/**
 * Kernels that read the numbers of an update where they came, in an update source, which is never written,
 * and put what comes of them into an arena. Addresses of indices and values are bytes of the update source,
 * all others of the arena, all multiples of 4. The update source may be that arena; then the regions do not
 * overlap. Nothing is allocated, and nothing but the regions named is written. Arguments are asserted in
 * O(1).
 */
export interface UpdateSourceKernels {
  /**
   * The distinct rows among `count` int32, in the order in which they first appear, without `skippedRow` (-1:
   * none). `firsts` and `lasts` say at which place each of them appears first and last, `nexts` for each
   * place where its row appears next, or -1. Returns how many they are, or -1 - i: the i-th index is not
   * within 0..rowCount-1.
   */
  coalesce(indicesAt: number, count: number, rowCount: number, skippedRow: number, found: CoalescedAt): number
  /**
   * Row s of the `slotCount` packed rows at `targetAt` becomes the sum of the rows of `values` at the places
   * of list s, which begins at `firsts[s]` and goes on by `nexts`: in order, every addition rounded to
   * float32. `count` rows are there.
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
  /** The same, but added to what row s is. */
  addRows: UpdateSourceKernels['sumRows']
  /** Row s of the packed rows at `targetAt` becomes the row of `values` at `places[s]`. */
  copyRows(
    placesAt: number,
    slotCount: number,
    valuesAt: number,
    count: number,
    targetAt: number,
    dim: number,
  ): void
  /** Index of the first float32 that is infinite or NaN, or -1. */
  findNonFinite(valuesAt: number, count: number): number
}

type Exports = Record<keyof UpdateSourceKernels, (...values: number[]) => number>

/** Asserts that `count` numbers lie in a memory, from a byte address on. */
type CheckRegion = (at: number, count: number) => void

const makeRegionCheck =
  (bytesMax: number): CheckRegion =>
  (at, count) =>
    assert(
      at >>> 0 === at && at % 4 === 0 && at + count * 4 <= bytesMax,
      'numbers lie in their memory, aligned',
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

/** The kernels over two memories of `memories.ts`. */
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
