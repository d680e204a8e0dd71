import { readFileSync } from 'node:fs'
import { assert } from '../core/assert.ts'
import { createArenaMemory } from './memories.ts'

/** Where things lie in a scanner's memory: one count, the tables, the values, the text. */
const COUNT_AT = 0
const TABLES_AT = 64
const TABLES_BYTES = 64 + 128 * 32
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
  readRun(at: number, valuesAt: number, valuesEnd: number, countAt: number): number
}

/**
 * A private memory for one JSON text at a time, and the kernel that reads runs of numbers (`1,-2.5,3e-7`) out of it. The caller puts the
 * text into `text` and a zero byte behind it.
 */
export interface NumberScanner {
  /** As long as the longest text and the zero byte. Only what is used takes memory. */
  readonly text: Uint8Array
  readonly values: Float64Array
  /** Numbers that the last `scan` read. */
  count: number
  /**
   * Reads numbers from `at` on, with commas and white space between them, to `values` from `valueIndex` on but not to `valueIndexEnd`; to
   * the bit as JSON.parse does. Stops before an element that is no number, that is malformed or that it leaves to others: more than 19
   * significant digits, powers of ten beyond 10^-64..10^63, what is too close to the middle of two doubles. Returns the place behind the
   * last number and the white space that follows it; `at` when there was none.
   */
  scan(at: number, valueIndex: number, valueIndexEnd: number): number
}

/** 10^0..10^7; then for each exponent 10^k as a double, in two halves, and what the double lacks: together good to 2^-106. */
const writeTables = (memory: WebAssembly.Memory): void => {
  new BigUint64Array(memory.buffer, TABLES_AT, 8).set(Array.from({ length: 8 }, (_, exponent) => 10n ** BigInt(exponent)))
  const powers = new Float64Array(memory.buffer, TABLES_AT + 64, (POWER_MAX - POWER_MIN + 1) * 4)
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
  (compiled ??= new WebAssembly.Module(readFileSync(new URL('./build/numbers.wasm', import.meta.url))))

/** A scanner for texts of up to `textBytesMax`. It belongs to one thread. */
export const createNumberScanner = (textBytesMax: number): NumberScanner => {
  const arena = createArenaMemory(TEXT_AT + textBytesMax + 1 + SPARE_BYTES)
  writeTables(arena)
  const instance = new WebAssembly.Instance(compileModule(), { env: { arena, tablesAt: TABLES_AT } })
  const { readRun } = instance.exports as unknown as Exports
  const counter = new Uint32Array(arena.buffer, COUNT_AT, 1)
  const text = new Uint8Array(arena.buffer, TEXT_AT, textBytesMax + 1)
  const values = new Float64Array(arena.buffer, VALUES_AT, VALUE_COUNT_MAX)
  const scanner: NumberScanner = {
    text,
    values,
    count: 0,
    scan: (at, valueIndex, valueIndexEnd) => {
      assert(at >= 0 && at < text.length, 'the run begins in the text')
      assert(valueIndex >= 0 && valueIndex <= valueIndexEnd && valueIndexEnd <= VALUE_COUNT_MAX, 'the values have room')
      const end = readRun(TEXT_AT + at, VALUES_AT + valueIndex * 8, VALUES_AT + valueIndexEnd * 8, COUNT_AT) - TEXT_AT
      scanner.count = counter[0]
      return end
    },
  }
  return scanner
}
