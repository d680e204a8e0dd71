/**
 * The lookup tables of the printing kernel and their offsets in the bytes that the printer reserves in its
 * arena. `wasm/shared-source.ts` compiles the offsets into the kernel.
 */
import { assert } from '../core/assert.ts'

/**
 * Each binary exponent has an entry of 16 bytes: a factor, the position of the decimal point, and the offset
 * of a form.
 */
const BINADES_BYTES = 256 * 16
/** The offset of the decimal point's position within the entry of a binary exponent. */
const POINT_AT = 8
/**
 * The position of the decimal point that marks subnormal numbers, infinities and NaN, which are printed
 * another way.
 */
const NO_POINT = 1000

/** The powers of ten that the kernel multiplies by, 64 bits each. */
const POWERS_AT = BINADES_BYTES
const POWER_MIN = -31
const POWER_MAX = 45

/**
 * The working memory of the kernel: the decimals of 64 numbers at a time, and the numbers that do not fill
 * four lanes.
 */
const DECIMALS_AT = 4736
const REST_AT = DECIMALS_AT + 64 * 16
/** The lengths of a tensor's outer axes, uint32. */
const LENGTHS_AT = REST_AT + 16
/** The most axes of a tensor before its last axis. */
export const OUTER_AXES_MAX = 16
const CONSTANTS_AT = LENGTHS_AT + OUTER_AXES_MAX * 4

/**
 * A form prints nine digits, the first two of which may be zeros. The decimal point follows this many of
 * them; outside this range the number needs an exponent or more zeros than a form has.
 */
const FORM_POINT_MIN = -3
const FORM_POINT_MAX = 9
const FORM_ZEROS_MAX = 2
const FORM_BYTES = 64
const DIGITS_MAX = 9
/** The bytes of all forms for one position of the point, by sign and by leading zeros. */
const FORMS_BYTES = 2 * 4 * FORM_BYTES
/** The bytes of all forms, which is also the first offset that is not a form. */
const FORMS_BYTES_ALL = (FORM_POINT_MAX - FORM_POINT_MIN + 1) * FORMS_BYTES

const SLACK = 4n
/** Repeats 32 bits in both halves of 64 bits. */
const repeat = (lane: number): bigint => BigInt(lane) * 0x1_0000_0001n
/**
 * The vectors that decimals.as.ts loads, by the name of their offset in the kernel. Each repeats 64 bits
 * twice.
 */
const VECTORS = Object.entries({
  ROUNDING: 2n ** 35n - SLACK,
  TWICE_SLACK: 2n * SLACK,
  IMPLIED_BIT: repeat(0x8000_0000),
  LOWEST_BIT: repeat(0x100),
  SLACK: repeat(Number(SLACK)),
  TENTH: repeat(429_496_730),
  TEN: repeat(10),
  NINE_DIGITS_MIN: repeat(100_000_000),
  EIGHT_DIGITS_MIN: repeat(10_000_000),
  PER_TEN_THOUSAND: repeat(879609303),
  TEN_THOUSAND: repeat(10_000),
  PER_HUNDRED: repeat(10486),
  LESS_HUNDRED: repeat((100 << 16) - 1),
  PER_TEN: repeat(103 * 0x10001),
  LESS_TEN: repeat(((10 << 8) - 1) * 0x10001),
  FORM_MAX: repeat(FORMS_BYTES_ALL),
  SIGN_BIT: repeat(64),
})
const FORMS_AT = CONSTANTS_AT + VECTORS.length * 16

/**
 * The bytes of the arena that the printer reserves at `tablesAt`: the tables, the working memory of the
 * kernel, and the shape of the tensor that is being printed.
 */
export const PRINT_TABLES_BYTES = FORMS_AT + FORMS_BYTES_ALL
assert(POWERS_AT + (POWER_MAX - POWER_MIN + 1) * 8 <= DECIMALS_AT, 'the powers end before the decimals')

/**
 * The offsets that the kernel uses: those of tables, those within an entry, and those of the vectors after
 * CONSTANTS_AT.
 */
export const PRINT_OFFSETS: Readonly<Record<string, number>> = {
  POINT_AT,
  POWERS_AT,
  DECIMALS_AT,
  REST_AT,
  CONSTANTS_AT,
  FORMS_AT,
  ...Object.fromEntries(VECTORS.map(([name], index) => [name, index * 16])),
}
/** The constants of the tables that the kernel compares with. */
export const PRINT_POINTS = { NO_POINT, POWER_MIN, SLOW_PATH: FORMS_BYTES_ALL } as const

/** Returns the address of the outer axes' lengths, for a printer whose tables begin at `tablesAt`. */
export const lengthsAt = (tablesAt: number): number => tablesAt + LENGTHS_AT

/** Returns the leading 64 bits of 10^exponent, rounded up. */
const powerOfTen = (exponent: number): bigint => {
  const magnitude = 10n ** BigInt(Math.abs(exponent))
  if (exponent >= 0) {
    const excess = magnitude.toString(2).length - 64
    return excess <= 0 ? magnitude << BigInt(-excess) : ((magnitude - 1n) >> BigInt(excess)) + 1n
  }
  const shift = BigInt(magnitude.toString(2).length + 63)
  return ((1n << shift) - 1n) / magnitude + 1n
}

/**
 * Returns 2^exponent / 10^power with 60 fraction bits, rounded up, with the power chosen so that the quotient
 * is at least 1 and below 10.
 */
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
 * Describes the text of nine digits that begin with `zeros` zeros, with the decimal point after `point` of
 * them: for each character of the text, the byte of the decimal that it copies (bytes 0..7 are the last eight
 * digits; the first digit can only be 1), or 255, and the value that is added to it; then the length of the
 * text by the number of zeros at the end.
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
        assert(sources.length <= 16, 'the text fits one vector')
        const at = FORMS_AT + (point - FORM_POINT_MIN) * FORMS_BYTES + (zeros * 2 + index) * FORM_BYTES
        bytes.set([...sources, ...Array<number>(16 - sources.length).fill(255)], at)
        bytes.set(characters, at + 16)
        bytes.set(lengths, at + 32)
      }
    }
  }
}

/** Writes the tables, PRINT_TABLES_BYTES of an arena from `tablesAt` on. */
export const writePrintTables = (arena: WebAssembly.Memory, tablesAt: number): void => {
  const view = new DataView(arena.buffer, tablesAt, PRINT_TABLES_BYTES)
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
  for (const [index, [, lane]] of VECTORS.entries()) {
    for (let byte = 0; byte < 16; byte += 8) view.setBigUint64(CONSTANTS_AT + index * 16 + byte, lane, true)
  }
  for (let power = POWER_MIN; power <= POWER_MAX; power += 1) {
    view.setBigUint64(POWERS_AT + (power - POWER_MIN) * 8, powerOfTen(power), true)
  }
  writeForms(new Uint8Array(arena.buffer, tablesAt, PRINT_TABLES_BYTES))
}
