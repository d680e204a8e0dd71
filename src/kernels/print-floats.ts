import { assert } from '../core/assert.ts'
import { instantiateModule } from './compiled-modules.ts'
import { lengthsAt, OUTER_AXES_MAX, PRINT_TABLES_BYTES, writePrintTables } from './print-tables.ts'

/** `-100000000000000000000` and a comma. */
const NUMBER_BYTES_MAX = 23
/** The printer stores eight bytes at a time and may write this far behind what it has printed. */
const SCRIBBLE_BYTES = 16

interface Exports {
  print(
    lengthsAt: number,
    axisCount: number,
    dim: number,
    brackets: number,
    valuesAt: number,
    firstRow: number,
    lastRow: number,
    outAt: number,
  ): number
}

/**
 * A tensor as rows of `dim` values below outer axes; what lies below an axis of length zero prints nothing
 * and is left out.
 */
const splitShape = (
  shape: readonly number[],
): { outer: readonly number[]; dim: number; rowCount: number } => {
  const zero = shape.indexOf(0)
  const printed = zero < 0 ? shape : shape.slice(0, zero + 1)
  const outer = printed.slice(0, -1)
  return {
    outer,
    dim: printed.length === 0 ? 1 : printed[printed.length - 1],
    rowCount: outer.reduce((product, length) => product * length, 1),
  }
}

/**
 * The number of rows in the text of a tensor: runs along the last axis that has an effect on the text. See
 * `printRows`.
 */
export const countPrintedRows = (shape: readonly number[]): number => splitShape(shape).rowCount

/**
 * No text of `rowCount` rows (default: all) of a float32 tensor of this shape is longer, in bytes. Most are
 * half as long: -0.12345679 is 12 with its comma, but a number may take 23.
 */
export const printedBytesMax = (shape: readonly number[], rowCount = countPrintedRows(shape)): number =>
  rowCount * (splitShape(shape).dim * NUMBER_BYTES_MAX + shape.length * 2 + 1) + SCRIBBLE_BYTES

/** The printer of one arena. Addresses and sizes are bytes of that arena. */
export interface JsonKernels {
  /**
   * Prints float32 values (row-major, at `valuesAt`) as nested JSON arrays at `outAt`; a shape without axes
   * is the bare number. Each number is the shortest decimal that reads back to the same float32, the closest
   * of those, written as JavaScript writes numbers; minus zero is `-0`, NaN and infinities are `null`.
   * `outBytesMax` must be at least `printedBytesMax(shape)`. Returns the length of the text.
   */
  printTensor(shape: readonly number[], valuesAt: number, outAt: number, outBytesMax: number): number
  /**
   * The part of that text which belongs to `rowCount` rows from `firstRow`, brackets and commas included: the
   * parts of a tensor, one after the other, are its text. `valuesAt` is where the values of `firstRow` lie.
   * `outBytesMax` is at least `printedBytesMax(shape, rowCount)`.
   */
  printRows(
    shape: readonly number[],
    firstRow: number,
    rowCount: number,
    valuesAt: number,
    outAt: number,
    outBytesMax: number,
  ): number
}

/**
 * The printer for an arena, an imported 32-bit shared memory. `tablesAt` (a multiple of 8) is the place of
 * PRINT_TABLES_BYTES bytes that it fills now and nothing else may write to; one thread at a time uses it,
 * since the shape passes through there.
 */
export const instantiateJsonKernels = (arena: WebAssembly.Memory, tablesAt: number): JsonKernels => {
  assert(
    tablesAt >= 0 && tablesAt % 8 === 0 && tablesAt + PRINT_TABLES_BYTES <= arena.buffer.byteLength,
    'the tables lie in the arena',
  )
  writePrintTables(arena, tablesAt)
  const { print } = instantiateModule<Exports>('print-floats', { arena, tablesAt })
  const outerAt = lengthsAt(tablesAt)
  const lengths = new Uint32Array(arena.buffer, outerAt, OUTER_AXES_MAX)

  const printRows: JsonKernels['printRows'] = (shape, firstRow, rowCount, valuesAt, outAt, outBytesMax) => {
    const { outer, dim, rowCount: rowCountAll } = splitShape(shape)
    assert(outer.length <= OUTER_AXES_MAX, 'the shape has at most 17 axes')
    assert(
      firstRow >= 0 && rowCount >= 0 && firstRow + rowCount <= rowCountAll,
      'the rows are rows of the tensor',
    )
    assert(
      valuesAt % 4 === 0 && valuesAt >= 0 && valuesAt + rowCount * dim * 4 <= arena.buffer.byteLength,
      'the values lie in the arena',
    )
    assert(printedBytesMax(shape, rowCount) <= outBytesMax, 'the text has room')
    assert(outAt >= 0 && outAt + outBytesMax <= arena.buffer.byteLength, 'the text lies in the arena')
    lengths.set(outer)
    const end = print(
      outerAt,
      outer.length,
      dim,
      shape.length === 0 ? 0 : 1,
      valuesAt,
      firstRow,
      firstRow + rowCount,
      outAt,
    )
    return (end >>> 0) - outAt
  }
  return {
    printRows,
    printTensor: (shape, valuesAt, outAt, outBytesMax) =>
      printRows(shape, 0, countPrintedRows(shape), valuesAt, outAt, outBytesMax),
  }
}
