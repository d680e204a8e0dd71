import { assert } from '../core/assert.ts'
import { type Dtype, ELEMENT_BYTES } from '../core/types.ts'
import { rowBytes } from '../layout/table-layout.ts'
import { assertCount, type Bounds, makeBounds } from './bounds.ts'
import { ELEMENT_CODES, TOUCH_BYTES_MAX, TOUCH_ROWS } from './codes.ts'
import { instantiateModule } from './compiled-modules.ts'

/**
 * Block touch: before it copies the next TOUCH_ROWS rows, a gather reads one byte of each of their cache
 * lines, so that the misses of many rows overlap. Rows of up to TOUCH_FREE_BYTES that are copied as stored
 * overlap without it; rows above TOUCH_BYTES_MAX are fetched ahead by the processor itself. ns per row,
 * random rows of 1 GiB, load/bench/kernel.ts on an AMD EPYC, plain -> touch:
 *
 *     stored    32 B 16 -> 37    64 B 21 -> 31    128 B 54 -> 43   256 B 109 -> 48    1 KiB 422 -> 149
 *               4 KiB 713 -> 850
 *     float16   32 B 162 -> 51   64 B 384 -> 61   128 B 470 -> 103   512 B 577 -> 226, as float32
 *
 * The lines of a block stay in the first cache until they are copied: wide rows go in shorter blocks. 1 KiB
 * on an Intel Sapphire Rapids: 64 rows 211, 32 rows 196, 16 rows 182.
 */
const TOUCH_BLOCK_BYTES_MAX = 16_384
export const TOUCH_FREE_BYTES = 64

/** Rows that a checked gather copies between two readings of their stripe words. */
export const CHECK_ROWS = 32
/** A block of wide rows is shorter: the longer it takes, the likelier a write falls into it. */
const CHECK_BLOCK_BYTES_MAX = 65_536

/** Rows as they are stored, or widened to float32. */
export type RowFormat = 'stored' | 'float32'

/** Element types that the kernels read; integers are converted before they come here. */
export type SourceType = keyof typeof ELEMENT_CODES
export type TargetType = 'float32' | 'float16' | 'bfloat16'

/**
 * The kernels over one table memory and one arena that leave the table memory as it is. Arguments ending in
 * `At` are byte addresses of the arena, of any alignment; `firstRow` and `rowCount` say which rows the table
 * memory holds. Nothing is allocated, and nothing but the region named is written. Arguments are asserted in
 * O(1); that ids were resolved is the caller's promise, but a foreign id is skipped, never read.
 */
export interface ReadKernels {
  /**
   * Row `ids[i]` -> position i of `outAt`, rows packed. ids are int32: rows of other segments are skipped,
   * negative ones take the ready row at `fillAt` (0: are skipped too). int8 as float32 is fround(byte * scale
   * + bias), computed in float64. Ends with a fence: a lock word that is read afterwards is read after the
   * rows.
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
   * The same from position `start` on, with each row checked against its stripe word, so that none is half
   * written. Returns `count`, or the position at which a row stayed busy: back off, then go on from there.
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
   * Elements within the arena, rounded as by {@link TableKernels.ingest}, which also says what is returned.
   * The regions do not overlap, unless they begin together and the target's elements are not wider.
   */
  convert(
    source: SourceType,
    target: TargetType,
    sourceAt: number,
    elementCount: number,
    targetAt: number,
  ): number
  /** Index of the first float32 that is infinite or NaN, or -1. */
  finite(at: number, elementCount: number): number
}

/**
 * Those and the kernels that change the rows of the table memory: for the writer, and for an upload that
 * fills a version.
 */
export interface TableKernels extends ReadKernels {
  /**
   * The writer's: position i of the packed rows at `rowsAt` -> row `ids[i]`, guarded by its stripe word,
   * which is even before. Foreign ids are skipped.
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
   * Elements of an upload -> rows, `rowsOffset` bytes behind the first. Half to even through float32;
   * overflow is infinity, NaN stays. All are written; returns the index of the first that is stored as
   * infinity or NaN, or -1.
   */
  ingest(
    source: SourceType,
    target: TargetType,
    sourceAt: number,
    elementCount: number,
    rowsOffset: number,
  ): number
  /**
   * float32 rows -> int8 rows, from row `localRow` of the segment on: scale = range / 255, byte = rint((x -
   * min) * (255 / (range + 1e-8))), bias = min. A row with NaN, infinity or an infinite range is stored as
   * NaN. Returns the index of its first such element (of a range that overflows, of the row's first), or -1.
   */
  quantise(sourceAt: number, quantisedRowCount: number, dim: number, localRow: number): number
}

type Gather = 'gatherRaw' | 'gatherFloat16' | 'gatherBfloat16' | 'gatherInt8'
type Exports = Record<
  Gather | `${Gather}Checked` | 'scatter' | 'ingest' | 'quantise' | 'convert' | 'finite',
  (...values: number[]) => number
>

/**
 * The kernel that gives rows of each dtype as float32; that of float32 copies rows of any dtype as stored.
 */
const GATHERS = {
  float32: 'gatherRaw',
  float16: 'gatherFloat16',
  bfloat16: 'gatherBfloat16',
  int8: 'gatherInt8',
} as const satisfies Record<Dtype, Gather>
/** The same with each row checked. */
const CHECKED_GATHERS = {
  float32: 'gatherRawChecked',
  float16: 'gatherFloat16Checked',
  bfloat16: 'gatherBfloat16Checked',
  int8: 'gatherInt8Checked',
} as const satisfies Record<Dtype, `${Gather}Checked`>

const makeGathers = (exports: Exports, bounds: Bounds): Pick<ReadKernels, 'gather' | 'gatherChecked'> => {
  const check = (idsAt: number, count: number, outAt: number, fillAt: number, answerBytes: number): void => {
    assertCount(count)
    bounds.region(idsAt, count * 4)
    bounds.region(outAt, count * answerBytes)
    if (fillAt !== 0) bounds.region(fillAt, answerBytes)
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
      assert(start >>> 0 === start && start <= count, 'the start is a position')
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
      'source and target lie apart',
    )
    return exports.convert(ELEMENT_CODES[source], ELEMENT_CODES[target], sourceAt, elementCount, targetAt)
  },
  finite(at, elementCount) {
    assertCount(elementCount)
    bounds.region(at, elementCount * 4)
    return exports.finite(at, elementCount)
  },
})

/** The kernels over two memories of `memories.ts`. */
export const instantiateKernels = (table: WebAssembly.Memory, arena: WebAssembly.Memory): TableKernels => {
  const exports = instantiateModule<Exports>('table', { table, arena })
  const bounds = makeBounds(table.buffer.byteLength, arena.buffer.byteLength)
  return {
    ...makeGathers(exports, bounds),
    ...makeWriters(exports, bounds),
    ...makeConverters(exports, bounds),
  }
}
