/** The kernels over one table memory and one arena: gather, scatter and conversions. */
import { assert } from '../core/assert.ts'
import { type Dtype, ELEMENT_BYTES } from '../core/types.ts'
import { rowBytes } from '../layout/table-layout.ts'
import { assertCount, type Bounds, makeBounds } from './bounds.ts'
import { ELEMENT_CODES, TOUCH_BYTES_MAX, TOUCH_ROWS } from './codes.ts'
import { instantiateModule } from './compiled-modules.ts'

/**
 * Block touch: before it copies the next TOUCH_ROWS rows, a gather loads one byte of each of their cache
 * lines, so that the cache misses of many rows overlap. Rows of up to TOUCH_FREE_BYTES that are copied as
 * stored overlap without it, and the hardware prefetcher handles rows above TOUCH_BYTES_MAX. ns per row,
 * random rows of 1 GiB, load/bench/kernel.ts on an AMD EPYC, plain -> touch:
 *
 *     stored    32 B 16 -> 37    64 B 21 -> 31    128 B 54 -> 43   256 B 109 -> 48    1 KiB 422 -> 149
 *               4 KiB 713 -> 850
 *     float16   32 B 162 -> 51   64 B 384 -> 61   128 B 470 -> 103   512 B 577 -> 226, as float32
 *
 * The lines of a block have to stay in the L1 cache until they are copied, so wide rows use shorter blocks. 1
 * KiB on an Intel Sapphire Rapids: 64 rows 211, 32 rows 196, 16 rows 182.
 */
const TOUCH_BLOCK_BYTES_MAX = 16_384
export const TOUCH_FREE_BYTES = 64

/** The number of rows that a checked gather copies between two readings of their stripe words. */
export const CHECK_ROWS = 32
/** The most bytes of such a block: the longer it takes, the likelier a write interrupts it. */
const CHECK_BLOCK_BYTES_MAX = 65_536

/** The format of gathered rows: as stored, or widened to float32. */
export type RowFormat = 'stored' | 'float32'

/** The element types that the kernels read. Integers are converted before they get here. */
export type SourceType = keyof typeof ELEMENT_CODES
export type TargetType = 'float32' | 'float16' | 'bfloat16'

/**
 * The kernels that only read the table memory. Arguments that end in `At` are byte addresses of the arena, of
 * any alignment; `firstRow` and `rowCount` name the rows that the table memory holds. The kernels allocate
 * nothing and write only the regions named. Arguments are asserted in O(1); ids are not checked, but the row
 * of an id outside the segment is skipped and never read.
 */
export interface ReadKernels {
  /**
   * Copies row `ids[i]` to position i of `outAt`, rows packed. ids are int32: rows of other segments are
   * skipped, and negative ids take the prepared row at `fillAt`, or are skipped too if that is 0. int8 as
   * float32 is fround(byte * scale + bias), computed in float64. Ends with a fence, so that a lock word
   * loaded afterwards is loaded after the rows.
   */
  gather(
    format: RowFormat,
    dtype: Dtype,
    idsAt: number,
    count: number,
    outAt: number,
    fillAt: number,
    firstRow: number,
    rowCount: number,
    dim: number,
  ): void
  /**
   * Gathers from position `start` on and checks the stripe word of each row, so that no row is half written.
   * Returns `count`, or the position at which a row stayed busy; the caller backs off and continues there.
   */
  gatherChecked(
    format: RowFormat,
    dtype: Dtype,
    idsAt: number,
    start: number,
    count: number,
    outAt: number,
    fillAt: number,
    firstRow: number,
    rowCount: number,
    dim: number,
  ): number
  /**
   * Converts elements within the arena, with the rounding and the result of {@link TableKernels.ingest}. The
   * regions do not overlap, unless they begin at the same address and the target's elements are not wider.
   */
  convert(
    source: SourceType,
    target: TargetType,
    sourceAt: number,
    elementCount: number,
    targetAt: number,
  ): number
  /** Returns the index of the first float32 that is infinite or NaN, or -1. */
  finite(at: number, elementCount: number): number
}

/** All kernels, including those that change rows: for the writer, and for an upload that fills a version. */
export interface TableKernels extends ReadKernels {
  /**
   * Copies position i of the packed rows at `rowsAt` to row `ids[i]`, guarded by its stripe word, which is
   * even before. Only the writer calls this. Ids outside the segment are skipped.
   */
  scatter(
    idsAt: number,
    count: number,
    rowsAt: number,
    firstRow: number,
    rowCount: number,
    rowBytes: number,
  ): void
  /**
   * Converts elements of an upload into rows, from `rowsOffset` bytes after the start of the rows on. Rounds
   * half to even through float32; overflow gives infinity, and NaN stays NaN, with its bits if the types are
   * the same. Writes all elements; returns the index of the first that is stored as infinity or NaN, or -1.
   */
  ingest(
    source: SourceType,
    target: TargetType,
    sourceAt: number,
    elementCount: number,
    rowsOffset: number,
  ): number
  /**
   * Quantises float32 rows to int8 rows, from row `localRow` of the segment on: scale = range / 255, byte =
   * rint((x - min) * (255 / (range + 1e-8))), bias = min. A row with NaN, infinity or an infinite range is
   * stored as NaN. Returns the index of the first element that is not finite (of a row whose range overflows,
   * its first element), or -1.
   */
  quantise(sourceAt: number, quantisedRowCount: number, dim: number, localRow: number): number
}

type Gather = 'gatherRaw' | 'gatherFloat16' | 'gatherBfloat16' | 'gatherInt8'
type Exports = Record<
  Gather | `${Gather}Checked` | 'scatter' | 'ingest' | 'quantise' | 'convert' | 'finite',
  (...values: number[]) => number
>

/**
 * The kernels that return rows of each dtype as float32. That of float32 also copies rows of any dtype as
 * stored.
 */
const GATHERS = {
  float32: 'gatherRaw',
  float16: 'gatherFloat16',
  bfloat16: 'gatherBfloat16',
  int8: 'gatherInt8',
} as const satisfies Record<Dtype, Gather>
/** The same kernels with a check of each row. */
const CHECKED_GATHERS = {
  float32: 'gatherRawChecked',
  float16: 'gatherFloat16Checked',
  bfloat16: 'gatherBfloat16Checked',
  int8: 'gatherInt8Checked',
} as const satisfies Record<Dtype, `${Gather}Checked`>

const makeGathers = (exports: Exports, bounds: Bounds): Pick<ReadKernels, 'gather' | 'gatherChecked'> => {
  const check = (idsAt: number, count: number, outAt: number, fillAt: number, outputBytes: number): void => {
    assertCount(count)
    bounds.region(idsAt, count * 4)
    bounds.region(outAt, count * outputBytes)
    if (fillAt !== 0) bounds.region(fillAt, outputBytes)
  }
  return {
    gather(format, dtype, idsAt, count, outAt, fillAt, firstRow, rowCount, dim) {
      const bytes = rowBytes(dim, dtype)
      const asStored = format === 'stored' || dtype === 'float32'
      check(idsAt, count, outAt, fillAt, asStored ? bytes : dim * 4)
      bounds.segment(firstRow, rowCount, bytes)
      const isTouched = bytes <= TOUCH_BYTES_MAX && (!asStored || bytes > TOUCH_FREE_BYTES)
      const touchRows = isTouched ? Math.min(TOUCH_ROWS, Math.floor(TOUCH_BLOCK_BYTES_MAX / bytes)) : 0
      const kernel = GATHERS[asStored ? 'float32' : dtype]
      const size = asStored ? bytes : dim
      exports[kernel](idsAt, count, outAt, fillAt, firstRow, rowCount, size, touchRows)
    },
    gatherChecked(format, dtype, idsAt, start, count, outAt, fillAt, firstRow, rowCount, dim) {
      const bytes = rowBytes(dim, dtype)
      const asStored = format === 'stored' || dtype === 'float32'
      check(idsAt, count, outAt, fillAt, asStored ? bytes : dim * 4)
      bounds.segment(firstRow, rowCount, bytes)
      assert(start >>> 0 === start && start <= count, 'the start is a position of the batch')
      const blockRows = Math.max(1, Math.min(CHECK_ROWS, Math.floor(CHECK_BLOCK_BYTES_MAX / bytes)))
      const kernel = CHECKED_GATHERS[asStored ? 'float32' : dtype]
      const size = asStored ? bytes : dim
      return exports[kernel](idsAt, start, count, outAt, fillAt, firstRow, rowCount, size, blockRows)
    },
  }
}

const makeWriters = (
  exports: Exports,
  bounds: Bounds,
): Pick<TableKernels, 'scatter' | 'ingest' | 'quantise'> => ({
  scatter(idsAt, count, rowsAt, firstRow, rowCount, bytes) {
    assertCount(count)
    bounds.region(idsAt, count * 4)
    bounds.region(rowsAt, count * bytes)
    bounds.segment(firstRow, rowCount, bytes)
    exports.scatter(idsAt, count, rowsAt, firstRow, rowCount, bytes)
  },
  ingest(source, target, sourceAt, elementCount, rowsOffset) {
    assertCount(elementCount)
    bounds.region(sourceAt, elementCount * ELEMENT_BYTES[source])
    bounds.elements(rowsOffset, elementCount * ELEMENT_BYTES[target])
    return exports.ingest(ELEMENT_CODES[source], ELEMENT_CODES[target], sourceAt, elementCount, rowsOffset)
  },
  quantise(sourceAt, quantisedRowCount, dim, localRow) {
    assertCount(quantisedRowCount)
    assertCount(localRow)
    assertCount(quantisedRowCount * dim)
    bounds.region(sourceAt, quantisedRowCount * dim * 4)
    bounds.segment(0, localRow + quantisedRowCount, rowBytes(dim, 'int8'))
    return exports.quantise(sourceAt, quantisedRowCount, dim, localRow)
  },
})

const makeConverters = (exports: Exports, bounds: Bounds): Pick<ReadKernels, 'convert' | 'finite'> => ({
  convert(source, target, sourceAt, elementCount, targetAt) {
    assertCount(elementCount)
    const sourceBytes = elementCount * ELEMENT_BYTES[source]
    const targetBytes = elementCount * ELEMENT_BYTES[target]
    bounds.region(sourceAt, sourceBytes)
    bounds.region(targetAt, targetBytes)
    const inPlace = sourceAt === targetAt && targetBytes <= sourceBytes
    assert(
      inPlace || sourceAt + sourceBytes <= targetAt || targetAt + targetBytes <= sourceAt,
      'source and target do not overlap',
    )
    return exports.convert(ELEMENT_CODES[source], ELEMENT_CODES[target], sourceAt, elementCount, targetAt)
  },
  finite(at, elementCount) {
    assertCount(elementCount)
    bounds.region(at, elementCount * 4)
    return exports.finite(at, elementCount)
  },
})

/** Instantiates the kernels over two memories of `memories.ts`. */
export const instantiateKernels = (table: WebAssembly.Memory, arena: WebAssembly.Memory): TableKernels => {
  const exports = instantiateModule<Exports>('table', { table, arena })
  const bounds = makeBounds(table.buffer.byteLength, arena.buffer.byteLength)
  return {
    ...makeGathers(exports, bounds),
    ...makeWriters(exports, bounds),
    ...makeConverters(exports, bounds),
  }
}
