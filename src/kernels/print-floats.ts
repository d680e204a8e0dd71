/** Prints float32 tensors as JSON text with the print-floats kernel. */
import { assert } from '../core/assert.ts'
import { instantiateModule } from './compiled-modules.ts'
import { lengthsAt, OUTER_AXES_MAX, PRINT_TABLES_BYTES, writePrintTables } from './print-tables.ts'

/** The longest number is `-100000000000000000000` with its comma. */
const NUMBER_BYTES_MAX = 23
/** The kernel stores up to a vector at a time and may overwrite this many bytes after the text. */
const OVERRUN_BYTES = 16

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
 * Splits a shape into rows of `dim` values below outer axes. Axes below an axis of length zero print nothing
 * and are dropped.
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
 * Returns the number of rows in the text of a tensor, which are runs along the last axis that affects the
 * text. See `printRows`.
 */
export const countPrintedRows = (shape: readonly number[]): number => splitShape(shape).rowCount

/**
 * Returns an upper bound of the bytes of `rowCount` rows (default: all) of the text of a float32 tensor. Most
 * texts are half as long: -0.12345679 is 12 bytes with its comma, but a number may need 23.
 */
export const printedBytesMax = (shape: readonly number[], rowCount = countPrintedRows(shape)): number =>
  rowCount * (splitShape(shape).dim * NUMBER_BYTES_MAX + shape.length * 2 + 1) + OVERRUN_BYTES

/** The printer of one arena. Addresses and sizes are bytes of that arena. */
export interface JsonKernels {
  /**
   * Prints float32 values (row-major, at `valuesAt`) as nested JSON arrays at `outAt`; a shape without axes
   * prints the bare number. Each number is the shortest decimal that reads back to the same float32, the
   * closest of these if there are several, in the notation of JavaScript. Minus zero is `-0`; NaN and
   * infinities are `null`. `outBytesMax` must be at least `printedBytesMax(shape)`. Returns the length of the
   * text.
   */
  printTensor(shape: readonly number[], valuesAt: number, outAt: number, outBytesMax: number): number
  /**
   * Prints the part of that text that belongs to `rowCount` rows from `firstRow`, including brackets and
   * commas, so that the parts of a tensor concatenate to its text. `valuesAt` is the address of the values of
   * `firstRow`. `outBytesMax` must be at least `printedBytesMax(shape, rowCount)`.
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
 * Creates the printer for an arena, a 32-bit shared memory. `tablesAt` (a multiple of 8) is the address of
 * PRINT_TABLES_BYTES bytes, which this function fills and nothing else may write to. Only one thread may use
 * the printer at a time, because it passes the shape to the kernel through those bytes.
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
      'the rows lie within the tensor',
    )
    assert(
      valuesAt % 4 === 0 && valuesAt >= 0 && valuesAt + rowCount * dim * 4 <= arena.buffer.byteLength,
      'the values lie in the arena',
    )
    assert(printedBytesMax(shape, rowCount) <= outBytesMax, 'outBytesMax is large enough for the text')
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
