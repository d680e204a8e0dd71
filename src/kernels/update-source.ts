import { readFileSync } from 'node:fs'
import { assert } from '../core/assert.ts'
import { assertCount } from './bounds.ts'

/** Where {@link UpdateSourceKernels.coalesce} puts what it finds: byte addresses of the arena. */
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
 * What reads the numbers of an update where they came, in an update source, which is never written, and puts what comes of them into an arena. Addresses
 * of indices and values are bytes of the update source, all others of the arena, all multiples of 4. The update source may be that arena; then the regions do not
 * overlap. Nothing is allocated, and nothing but the regions named is written. Arguments are asserted in O(1).
 */
export interface UpdateSourceKernels {
  /**
   * The distinct rows among `count` int32, in the order in which they first appear, without `skippedRow` (-1: none). `firsts` and `lasts` say at which
   * place each of them appears first and last, `nexts` for each place where its row appears next, or -1. Returns how many they are, or -1 - i: the i-th
   * index is not within 0..rowCount-1.
   */
  coalesce(indicesAt: number, count: number, rowCount: number, skippedRow: number, found: CoalescedAt): number
  /**
   * Row s of the `slotCount` packed rows at `targetAt` becomes the sum of the rows of `values` at the places of list s, which begins at `firsts[s]` and
   * goes on by `nexts`: in order, every addition rounded to float32. `count` rows are there.
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
  addRows(
    firstsAt: number,
    nextsAt: number,
    slotCount: number,
    valuesAt: number,
    count: number,
    targetAt: number,
    dim: number,
  ): void
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

let compiled: WebAssembly.Module | undefined
const compileModule = (): WebAssembly.Module =>
  (compiled ??= new WebAssembly.Module(readFileSync(new URL('./compiled/update-source.wasm', import.meta.url))))

const makeRegionCheck =
  (bytesMax: number) =>
  (at: number, count: number): void =>
    assert(
      at >>> 0 === at && at % 4 === 0 && at + count * 4 <= bytesMax,
      'numbers lie in their memory, aligned',
    )

/** The kernels over two memories of `memories.ts`. The module is compiled once per thread. Throws ENOENT before `npm run build`. */
export const instantiateUpdateSourceKernels = (
  updateSource: WebAssembly.Memory,
  arena: WebAssembly.Memory,
): UpdateSourceKernels => {
  const exports = new WebAssembly.Instance(compileModule(), { env: { updateSource, arena } })
    .exports as Exports
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
  return {
    coalesce(
      indicesAt,
      count,
      rowCount,
      skippedRow,
      { slotsAt, capacity, rowsAt, firstsAt, lastsAt, nextsAt },
    ) {
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
      target(rowsAt, count)
      target(firstsAt, count)
      target(lastsAt, count)
      target(nextsAt, count)
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
    },
    sumRows(firstsAt, nextsAt, slotCount, valuesAt, count, targetAt, dim) {
      checkRows(slotCount, valuesAt, count, targetAt, dim)
      target(firstsAt, slotCount)
      target(nextsAt, count)
      exports.sumRows(firstsAt, nextsAt, slotCount, valuesAt, targetAt, dim)
    },
    addRows(firstsAt, nextsAt, slotCount, valuesAt, count, targetAt, dim) {
      checkRows(slotCount, valuesAt, count, targetAt, dim)
      target(firstsAt, slotCount)
      target(nextsAt, count)
      exports.addRows(firstsAt, nextsAt, slotCount, valuesAt, targetAt, dim)
    },
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
