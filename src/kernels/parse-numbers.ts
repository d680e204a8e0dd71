/** Reads JSON numbers out of UTF-8 text with the parse-numbers kernel, in a memory of its own. */
import { assert } from '../core/assert.ts'
import { instantiateModule } from './compiled-modules.ts'
import { createArenaMemory } from './memories.ts'
import { PARSE_TABLES_BYTES, writeParseTables } from './parse-tables.ts'

/** The layout of a scanner's memory: the count of the last scan, the tables, the values, the text. */
const COUNT_AT = 0
const TABLES_AT = 64
const VALUES_AT = 8192
const VALUE_COUNT_MAX = 64 * 1024
const TEXT_AT = VALUES_AT + VALUE_COUNT_MAX * 8
/** The kernel reads whole vectors, which may extend past the zero byte that ends the text. */
const SPARE_BYTES = 64
assert(TABLES_AT + PARSE_TABLES_BYTES <= VALUES_AT, 'the tables end before the values')

interface Exports {
  readRun(at: number, valuesAt: number, valuesEnd: number, single: boolean, countAt: number): number
  readRows(
    at: number,
    length: number,
    valuesAt: number,
    valuesEnd: number,
    single: boolean,
    countAt: number,
  ): number
}

/**
 * The type that numbers are read as: float64, equal in every bit to the result of JSON.parse, or that value
 * rounded to float32.
 */
export type Precision = 'double' | 'single'

/**
 * A private memory for one JSON text at a time, and the kernel that reads numbers (`1,-2.5,3e-7`) from it.
 * The caller copies the text into `text` and puts a zero byte after it. `scan` and `scanRows` write to
 * `values[precision]`, from `valueIndex` up to but not including `valueIndexEnd`.
 */
export interface NumberScanner {
  /**
   * The text buffer, with space for the longest text and its zero byte. Pages that are never used take no
   * memory.
   */
  readonly text: Uint8Array
  /** Two views of the same memory. */
  readonly values: { readonly double: Float64Array; readonly single: Float32Array }
  /** The count of numbers that the last `scan` read, or of rows that the last `scanRows` read. */
  count: number
  /**
   * Reads numbers from `at` on, separated by commas and white space. Stops before an element that is not a
   * number, that is malformed, or that the kernel does not handle: more than 19 significant digits, a power
   * of ten outside 10^-64..10^63, a value too close to the midpoint of two doubles, a value beyond float32.
   * Returns the position after the last number and the white space that follows it, or `at` if it read none.
   */
  scan(precision: Precision, at: number, valueIndex: number, valueIndexEnd: number): number
  /**
   * Reads lists of exactly `length` numbers, at least one, starting at the comma before the first list. Stops
   * before a list that has another length or that `scan` would not read completely. Returns the position
   * after the last list, or `at` if it read none.
   */
  scanRows(
    precision: Precision,
    at: number,
    length: number,
    valueIndex: number,
    valueIndexEnd: number,
  ): number
}

/** Creates a scanner for texts of up to `textBytesMax`. Only one thread may use it. */
export const createNumberScanner = (textBytesMax: number): NumberScanner => {
  const arena = createArenaMemory(TEXT_AT + textBytesMax + 1 + SPARE_BYTES)
  writeParseTables(arena, TABLES_AT)
  const { readRun, readRows } = instantiateModule<Exports>('parse-numbers', { arena, tablesAt: TABLES_AT })
  const countView = new Uint32Array(arena.buffer, COUNT_AT, 1)
  const text = new Uint8Array(arena.buffer, TEXT_AT, textBytesMax + 1)
  const values = {
    double: new Float64Array(arena.buffer, VALUES_AT, VALUE_COUNT_MAX),
    single: new Float32Array(arena.buffer, VALUES_AT, VALUE_COUNT_MAX),
  }
  const addressOf = (precision: Precision, index: number): number =>
    VALUES_AT + index * (precision === 'single' ? 4 : 8)
  const check = (at: number, valueIndex: number, valueIndexEnd: number): void => {
    assert(at >= 0 && at < text.length, 'the run begins in the text')
    assert(
      valueIndex >= 0 && valueIndex <= valueIndexEnd && valueIndexEnd <= VALUE_COUNT_MAX,
      'the values fit their buffer',
    )
  }
  const scanner: NumberScanner = {
    text,
    values,
    count: 0,
    scan: (precision, at, valueIndex, valueIndexEnd) => {
      check(at, valueIndex, valueIndexEnd)
      const [valuesAt, valuesEnd] = [addressOf(precision, valueIndex), addressOf(precision, valueIndexEnd)]
      const end = readRun(TEXT_AT + at, valuesAt, valuesEnd, precision === 'single', COUNT_AT)
      scanner.count = countView[0]
      return end - TEXT_AT
    },
    scanRows: (precision, at, length, valueIndex, valueIndexEnd) => {
      check(at, valueIndex, valueIndexEnd)
      assert(
        length > 0 && length <= VALUE_COUNT_MAX,
        'a row has between one number and as many as fit the buffer',
      )
      const [valuesAt, valuesEnd] = [addressOf(precision, valueIndex), addressOf(precision, valueIndexEnd)]
      const end = readRows(TEXT_AT + at, length, valuesAt, valuesEnd, precision === 'single', COUNT_AT)
      scanner.count = countView[0]
      return end - TEXT_AT
    },
  }
  return scanner
}
