import { readFileSync } from 'node:fs'
import { assert } from '../core/assert.ts'

const BINADES_BYTES = 256 * 16
const CONSTANTS_AT = 5840
const SLACK = 4n
const DIGITS_MAX = 9
/** Forms are for nine digits with the point behind so many of them, the first two of which may be zeros: more would need an exponent. */
const FORM_POINT_MIN = -3
const FORM_POINT_MAX = 9
const FORM_ZEROS_MAX = 2
const FORM_BYTES = 64
/** By sign, and by zeros. */
const FORMS_BYTES = 2 * 4 * FORM_BYTES
const FORM_MAX = (FORM_POINT_MAX - FORM_POINT_MIN + 1) * FORMS_BYTES
/** Four times the same 32 bits. */
const repeat = (lane: number): bigint => BigInt(lane) * 0x1_0000_0001n
/** The vectors of decimals.as.ts, in its order: each is 64 bits twice. */
const CONSTANTS = [
  2n ** 35n - SLACK,
  2n * SLACK,
  repeat(0x8000_0000),
  repeat(0x100),
  repeat(Number(SLACK)),
  repeat(429_496_730),
  repeat(10),
  repeat(100_000_000),
  repeat(10_000_000),
  repeat(879609303),
  repeat(10_000),
  repeat(10486),
  repeat((100 << 16) - 1),
  repeat(103 * 0x10001),
  repeat(((10 << 8) - 1) * 0x10001),
  repeat(FORM_MAX),
  repeat(64),
]
/** Where subnormal numbers, infinities and NaN have no decimal point. */
const NO_POINT = 1000
const POWERS_AT = BINADES_BYTES
const POWER_MIN = -31
const POWER_MAX = 45
const OUTER_AXES_MAX = 16
/** Behind the kernel's own room: 77 powers, then a block of numbers. */
const LENGTHS_AT = 5776
const FORMS_AT = 6112
/** Bytes of the arena that the printer keeps at `tablesAt`: factors, powers of ten and forms, a block of numbers, the shape of the tensor at hand. */
export const JSON_TABLES_BYTES = FORMS_AT + FORM_MAX
assert(LENGTHS_AT + OUTER_AXES_MAX * 4 <= CONSTANTS_AT, 'the shape fits')
assert(CONSTANTS_AT + CONSTANTS.length * 16 <= FORMS_AT, 'the constants fit')

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

/** A tensor as rows of `dim` values below outer axes; what lies below an axis of length zero prints nothing and is left out. */
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

/** How many rows (runs along the last axis that has an effect on the text) the text of a tensor has; see `printRows`. */
export const countPrintedRows = (shape: readonly number[]): number => splitShape(shape).rowCount

/**
 * No text of `rowCount` rows (default: all) of a float32 tensor of this shape is longer, in bytes. Most are half as long: -0.12345679 is 12
 * with its comma, but a number may take 23.
 */
export const printedBytesMax = (shape: readonly number[], rowCount = countPrintedRows(shape)): number =>
  rowCount * (splitShape(shape).dim * NUMBER_BYTES_MAX + shape.length * 2 + 1) + SCRIBBLE_BYTES

/** The printer of one arena. Addresses and sizes are bytes of that arena. */
export interface JsonKernels {
  /**
   * Prints float32 values (row-major, at `valuesAt`) as nested JSON arrays at `outAt`; a shape without axes is the bare number. Each
   * number is the shortest decimal that reads back to the same float32, the closest of those, written as JavaScript writes numbers; minus
   * zero is `-0`, NaN and infinities are `null`. `outBytesMax` must be at least `printedBytesMax(shape)`. Returns the length of the text.
   */
  printTensor(shape: readonly number[], valuesAt: number, outAt: number, outBytesMax: number): number
  /**
   * The part of that text which belongs to `rowCount` rows from `firstRow`, brackets and commas included: the parts of a tensor, one
   * after the other, are its text. `valuesAt` is where the values of `firstRow` lie. `outBytesMax` is at least `printedBytesMax(shape,
   * rowCount)`.
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

/** 10^exponent as 64 bits from the first one bit, rounded up. */
const powerOfTen = (exponent: number): bigint => {
  const magnitude = 10n ** BigInt(Math.abs(exponent))
  if (exponent >= 0) {
    const excess = magnitude.toString(2).length - 64
    return excess <= 0 ? magnitude << BigInt(-excess) : ((magnitude - 1n) >> BigInt(excess)) + 1n
  }
  const shift = BigInt(magnitude.toString(2).length + 63)
  return ((1n << shift) - 1n) / magnitude + 1n
}

/** 2^exponent / 10^power with 60 bits behind the point, rounded up; the power is such that it is from 1 to below 10. */
const describeBinade = (exponent: number): { factor: bigint; power: number } => {
  const shifted = exponent >= 0 ? 1n << BigInt(exponent) : 1n
  const divide = (power: number): bigint => {
    const [numerator, denominator] =
      power >= 0 ? [shifted, 10n ** BigInt(power)] : [shifted * 10n ** BigInt(-power), 1n]
    const divisor = denominator << BigInt(Math.max(0, -exponent))
    return ((numerator << 60n) + divisor - 1n) / divisor
  }
  let power = Math.ceil(exponent * Math.log10(2))
  while (divide(power) < 1n << 60n) power -= 1
  return { factor: divide(power), power }
}

interface Form {
  sources: number[]
  characters: number[]
  lengths: number[]
}

/**
 * How to write nine digits, `zeros` zeros and then none, with the point behind `point` of them: by place in the text, the byte of the decimal
 * (bytes 0..7 are the last eight digits, the first can only be 1) or 255; what is added to it; and the lengths by zeros at the end.
 */
const describeForm = (point: number, zeros: number, sign: string): Form => {
  const place = point - zeros
  const digits = '123456789'.slice(zeros)
  const text =
    sign +
    (place <= 0 ? `0.${'0'.repeat(-place)}${digits}` : `${digits.slice(0, place)}.${digits.slice(place)}`)
  return {
    sources: [...text].map((character) => (character >= '2' ? Number(character) - 2 : 255)),
    characters: [...text].map((character) => (character >= '2' ? '0' : character).charCodeAt(0)),
    lengths: Array.from({ length: DIGITS_MAX }, (_, ending) =>
      digits.length - ending > place ? text.length - ending : sign.length + place,
    ),
  }
}

const writeForms = (bytes: Uint8Array): void => {
  for (let point = FORM_POINT_MIN; point <= FORM_POINT_MAX; point += 1) {
    for (let zeros = 0; zeros <= FORM_ZEROS_MAX; zeros += 1) {
      for (const [index, sign] of ['', '-'].entries()) {
        const { sources, characters, lengths } = describeForm(point, zeros, sign)
        assert(sources.length <= 16, 'the text is one vector')
        const at = FORMS_AT + (point - FORM_POINT_MIN) * FORMS_BYTES + (zeros * 2 + index) * FORM_BYTES
        bytes.set([...sources, ...Array<number>(16 - sources.length).fill(255)], at)
        bytes.set(characters, at + 16)
        bytes.set(lengths, at + 32)
      }
    }
  }
}

const writeTables = (arena: WebAssembly.Memory, tablesAt: number): void => {
  const view = new DataView(arena.buffer, tablesAt, JSON_TABLES_BYTES)
  const setPoint = (biased: number, point: number): void => {
    view.setInt32(biased * 16 + 8, point, true)
    view.setInt32(biased * 16 + 12, (point - FORM_POINT_MIN) * FORMS_BYTES, true)
  }
  for (const biased of [0, 255]) setPoint(biased, NO_POINT)
  for (let biased = 1; biased < 255; biased += 1) {
    const { factor, power } = describeBinade(biased - 150)
    view.setBigUint64(biased * 16, factor, true)
    setPoint(biased, power + 9)
  }
  for (const [index, lane] of CONSTANTS.entries()) {
    for (let byte = 0; byte < 16; byte += 8) view.setBigUint64(CONSTANTS_AT + index * 16 + byte, lane, true)
  }
  for (let power = POWER_MIN; power <= POWER_MAX; power += 1) {
    view.setBigUint64(POWERS_AT + (power - POWER_MIN) * 8, powerOfTen(power), true)
  }
  writeForms(new Uint8Array(arena.buffer, tablesAt, JSON_TABLES_BYTES))
}

let compiled: WebAssembly.Module | undefined
const compileModule = (): WebAssembly.Module =>
  (compiled ??= new WebAssembly.Module(readFileSync(new URL('./compiled/print-floats.wasm', import.meta.url))))

/**
 * The printer for an arena, an imported 32-bit shared memory. `tablesAt` (a multiple of 8) is the place of JSON_TABLES_BYTES bytes that it
 * fills now and nothing else may write to; one thread at a time uses it, since the shape passes through there.
 */
export const instantiateJsonKernels = (arena: WebAssembly.Memory, tablesAt: number): JsonKernels => {
  assert(
    tablesAt >= 0 && tablesAt % 8 === 0 && tablesAt + JSON_TABLES_BYTES <= arena.buffer.byteLength,
    'the tables lie in the arena',
  )
  writeTables(arena, tablesAt)
  const instance = new WebAssembly.Instance(compileModule(), { env: { arena, tablesAt } })
  const { print } = instance.exports as unknown as Exports
  const lengthsAt = tablesAt + LENGTHS_AT
  const lengths = new Uint32Array(arena.buffer, lengthsAt, OUTER_AXES_MAX)

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
      lengthsAt,
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
