import { readFileSync } from 'node:fs'
import { assert } from '../core/assert.ts'
import { createArenaMemory } from './memories.ts'

/** Where things lie in a scanner's memory: one count, the tables, the values, the text. */
const COUNT_AT = 0
const TABLES_AT = 64
const INTEGERS_AT = 112
const POWERS_AT = 256
const TABLES_BYTES = POWERS_AT + 128 * 32
const VALUES_AT = 8192
const VALUE_COUNT_MAX = 64 * 1024
const TEXT_AT = VALUES_AT + VALUE_COUNT_MAX * 8
/** A word is read at the zero byte behind the text. */
const SPARE_BYTES = 64
assert(TABLES_AT + TABLES_BYTES <= VALUES_AT, 'the tables end before the values')

const POWER_MIN = -64
const POWER_MAX = 63
/** Splits a double into two halves whose products are exact. */
const SPLITTER = 2 ** 27 + 1

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

/** What numbers become: float64 to the bit as JSON.parse reads them, or those rounded to float32. */
export type Precision = 'double' | 'single'

/**
 * A private memory for one JSON text at a time, and the kernel that reads numbers (`1,-2.5,3e-7`) out of it. The caller puts the text into
 * `text` and a zero byte behind it. What `scan` and `scanRows` read goes to `values[precision]` from `valueIndex` on but not to
 * `valueIndexEnd`.
 */
export interface NumberScanner {
  /** As long as the longest text and the zero byte. Only what is used takes memory. */
  readonly text: Uint8Array
  /** Two views of the same room. */
  readonly values: { readonly double: Float64Array; readonly single: Float32Array }
  /** Numbers that the last `scan` read, or rows that the last `scanRows` did. */
  count: number
  /**
   * Reads numbers from `at` on, with commas and white space between them. Stops before an element that is no number, that is malformed or
   * that it leaves to others: more than 19 significant digits, powers of ten beyond 10^-64..10^63, what is too close to the middle of two
   * doubles, what float32 cannot hold. Returns the place behind the last number and the white space that follows it; `at` when there was
   * none.
   */
  scan(precision: Precision, at: number, valueIndex: number, valueIndexEnd: number): number
  /**
   * Reads lists of exactly `length` numbers, at least one, from the comma before the first list on. Stops before a list that has another
   * length or that `scan` would not read whole. Returns the place behind the last list; `at` when there was none.
   */
  scanRows(
    precision: Precision,
    at: number,
    length: number,
    valueIndex: number,
    valueIndexEnd: number,
  ): number
}

/** What numbers.as.ts reads digits with. */
const VECTORS: readonly number[][] = [
  Array.from({ length: 16 }, () => 0x80),
  Array.from({ length: 16 }, (_, index) => index),
  Array.from({ length: 16 }, () => 0x30),
  Array.from({ length: 16 }, () => 9),
  Array.from({ length: 8 }, () => [1, 10]).flat(),
  Array.from({ length: 4 }, () => [100, 0, 1, 0]).flat(),
  Array.from({ length: 4 }, () => [10_000 & 0xff, 10_000 >> 8, 1, 0]).flat(),
]

/** Vectors; 10^0..10^16; then for each exponent 10^k as a double, in two halves, and what the double lacks: together good to 2^-106. */
const writeTables = (memory: WebAssembly.Memory): void => {
  new Uint8Array(memory.buffer, TABLES_AT, INTEGERS_AT).set(VECTORS.flat())
  new BigUint64Array(memory.buffer, TABLES_AT + INTEGERS_AT, 17).set(
    Array.from({ length: 17 }, (_, exponent) => 10n ** BigInt(exponent)),
  )
  const powers = new Float64Array(memory.buffer, TABLES_AT + POWERS_AT, (POWER_MAX - POWER_MIN + 1) * 4)
  for (let exponent = POWER_MIN; exponent <= POWER_MAX; exponent += 1) {
    // Fixed point, 600 bits behind the point: the last bit of 10^-64 as a double is 2^-265.
    const exact = exponent >= 0 ? (10n ** BigInt(exponent)) << 600n : (1n << 600n) / 10n ** BigInt(-exponent)
    const power = Number(`1e${exponent}`)
    const split = power * SPLITTER
    const high = split - (split - power)
    const lacking = Number(exact - (BigInt(power * 2 ** 300) << 300n)) * 2 ** -300 * 2 ** -300
    powers.set([power, high, power - high, lacking], (exponent - POWER_MIN) * 4)
  }
}

let compiled: WebAssembly.Module | undefined
const compileModule = (): WebAssembly.Module =>
  (compiled ??= new WebAssembly.Module(readFileSync(new URL('./compiled/parse-numbers.wasm', import.meta.url))))

/** A scanner for texts of up to `textBytesMax`. It belongs to one thread. */
export const createNumberScanner = (textBytesMax: number): NumberScanner => {
  const arena = createArenaMemory(TEXT_AT + textBytesMax + 1 + SPARE_BYTES)
  writeTables(arena)
  const instance = new WebAssembly.Instance(compileModule(), { env: { arena, tablesAt: TABLES_AT } })
  const { readRun, readRows } = instance.exports as unknown as Exports
  const counter = new Uint32Array(arena.buffer, COUNT_AT, 1)
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
      'the values have room',
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
      scanner.count = counter[0]
      return end - TEXT_AT
    },
    scanRows: (precision, at, length, valueIndex, valueIndexEnd) => {
      check(at, valueIndex, valueIndexEnd)
      assert(length > 0 && length <= VALUE_COUNT_MAX, 'a row has numbers')
      const [valuesAt, valuesEnd] = [addressOf(precision, valueIndex), addressOf(precision, valueIndexEnd)]
      const end = readRows(TEXT_AT + at, length, valuesAt, valuesEnd, precision === 'single', COUNT_AT)
      scanner.count = counter[0]
      return end - TEXT_AT
    },
  }
  return scanner
}
