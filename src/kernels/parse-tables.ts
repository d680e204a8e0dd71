/**
 * The lookup tables of the parsing kernel and their offsets. `wasm/shared-source.ts` compiles the offsets
 * into the kernel.
 */
import { assert } from '../core/assert.ts'

/** The vectors with which the kernel reads digits, by the name of their offset in the kernel. */
const VECTORS: readonly { name: string; bytes: number[] }[] = [
  {
    name: 'ALIGN_AT',
    bytes: [...Array.from({ length: 16 }, () => 0x80), ...Array.from({ length: 16 }, (_, index) => index)],
  },
  { name: 'ZEROS_AT', bytes: Array.from({ length: 16 }, () => 0x30) },
  { name: 'NINES_AT', bytes: Array.from({ length: 16 }, () => 9) },
  { name: 'PAIRS_AT', bytes: Array.from({ length: 8 }, () => [1, 10]).flat() },
  { name: 'HUNDREDS_AT', bytes: Array.from({ length: 4 }, () => [100, 0, 1, 0]).flat() },
  { name: 'THOUSANDS_AT', bytes: Array.from({ length: 4 }, () => [10_000 & 0xff, 10_000 >> 8, 1, 0]).flat() },
]

const INTEGERS_AT = VECTORS.reduce((sum, { bytes }) => sum + bytes.length, 0)
const INTEGER_COUNT = 17
const POWERS_AT = 256
assert(INTEGERS_AT + INTEGER_COUNT * 8 <= POWERS_AT, 'the integers end before the powers')

const POWER_MIN = -64
const POWER_MAX = 63
/** Veltkamp's constant, which splits a double into two halves whose products are exact. */
const SPLITTER = 2 ** 27 + 1

/** The size of the tables in bytes. */
export const PARSE_TABLES_BYTES = POWERS_AT + (POWER_MAX - POWER_MIN + 1) * 32

/** The offsets of the tables, by the names that the kernel imports. */
export const PARSE_OFFSETS: Readonly<Record<string, number>> = {
  ...Object.fromEntries(
    VECTORS.map(({ name }, index) => [
      name,
      VECTORS.slice(0, index).reduce((sum, { bytes }) => sum + bytes.length, 0),
    ]),
  ),
  INTEGERS_AT,
  POWERS_AT,
}
/** The range of the exponents whose powers of ten are in the tables. */
export const PARSE_POWERS = { POWER_MIN, POWER_MAX } as const

/**
 * Writes the tables, PARSE_TABLES_BYTES from `tablesAt` on: the vectors; 10^0..10^16 as integers; then for
 * each exponent k the double nearest to 10^k, its two halves, and the difference from the exact power. Double
 * and difference together have a relative error below 2^-106.
 */
export const writeParseTables = (memory: WebAssembly.Memory, tablesAt: number): void => {
  new Uint8Array(memory.buffer, tablesAt, INTEGERS_AT).set(VECTORS.flatMap(({ bytes }) => bytes))
  new BigUint64Array(memory.buffer, tablesAt + INTEGERS_AT, INTEGER_COUNT).set(
    Array.from({ length: INTEGER_COUNT }, (_, exponent) => 10n ** BigInt(exponent)),
  )
  const powers = new Float64Array(memory.buffer, tablesAt + POWERS_AT, (POWER_MAX - POWER_MIN + 1) * 4)
  for (let exponent = POWER_MIN; exponent <= POWER_MAX; exponent += 1) {
    // Fixed point with 600 fraction bits, which is enough because the last bit of 10^-64 as a double is
    // 2^-265.
    const exact = exponent >= 0 ? (10n ** BigInt(exponent)) << 600n : (1n << 600n) / 10n ** BigInt(-exponent)
    const power = Number(`1e${exponent}`)
    const split = power * SPLITTER
    const high = split - (split - power)
    const residual = Number(exact - (BigInt(power * 2 ** 300) << 300n)) * 2 ** -300 * 2 ** -300
    powers.set([power, high, power - high, residual], (exponent - POWER_MIN) * 4)
  }
}
