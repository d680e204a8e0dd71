/** Texts of JSON numbers for tests: a list of hard cases, and random ones from a seed. */

/** Creates a generator of integers from 1 to 2^32 - 1 (xorshift32). */
export const createRandom = (seed: number): (() => number) => {
  let state = seed
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return state >>> 0
  }
}

const double = new Float64Array(1)
const doubleBits = new Uint32Array(double.buffer)

/**
 * Numbers that parsers have misread before: middles of two doubles, ends of the range, zeros, long mantissas.
 */
export const HARD_NUMBERS: readonly string[] = [
  '0',
  '-0',
  '0.0',
  '-0.0',
  '0e0',
  '-0e5',
  '0E-400',
  '0.000000000000000000000000000000',
  '1e0',
  '1E+0',
  '1e-0',
  '1e0005',
  '-1.5E+03',
  '9007199254740991',
  '9007199254740992',
  '9007199254740993',
  '9007199254740995',
  '-9007199254740993',
  '9223372036854775807',
  '18446744073709551615',
  '18446744073709551616',
  '99999999999999999999',
  '123456789',
  '1234567890',
  '12345678901234567',
  '123456789012345678',
  '1234567890123456789',
  '12345678901234567890',
  '1e22',
  '1e23',
  '-1e23',
  '8.5e22',
  '1e63',
  '1e64',
  '1e-64',
  '1e-65',
  '9.999999999999999999e63',
  '1e308',
  '1.7976931348623157e308',
  '1.7976931348623158e308',
  '1.7976931348623159e308',
  '1e309',
  '-1e400',
  '1e99999999999',
  '-1e99999999999',
  '1e-99999999999',
  '5e-324',
  '2.5e-324',
  '2.4703282292062327e-324',
  '2.4703282292062328e-324',
  '2.2250738585072011e-308',
  '2.2250738585072012e-308',
  '2.2250738585072014e-308',
  '4.9406564584124654e-324',
  '0.1',
  '0.2',
  '0.3',
  '0.30000000000000004',
  '0.1000000000000000055511151231257827',
  '0.10000000149011612',
  '1.0000000000000002',
  '1.00000000000000011102230246251565',
  '1.00000000000000011102230246251566',
  '1.000000000000000333066907387547',
  '0.50000000000000005',
  '0.500000000000000055511151231257827',
  '6929495644600919.5',
  '3.4028235677973366e38',
  '7.038531e-26',
  '0.00000000000000000000000000000000000000000000012345678901234567',
  '123456789.123456789',
  '1234567890.1234567',
  '12345678.12345678',
  '12345678.1234567812345678',
  '0.1234567812345678123456',
  '2.5',
  '-2.5e-7',
]

const pick = <Item>(random: () => number, items: readonly Item[]): Item => items[random() % items.length]
const digits = (random: () => number, count: number): string => {
  let text = ''
  for (let index = 0; index < count; index += 1) text += String(random() % 10)
  return text
}

const FORMS: readonly ((random: () => number) => string)[] = [
  (random) => String(random() % 1_000_000),
  (random) => String((random() | 0) * (random() % 1_000_000)),
  (random) => JSON.stringify(Math.fround((random() - 2 ** 31) / 2 ** 36)),
  (random) => ((random() - 2 ** 31) / 2 ** 30).toPrecision(8).replace(/e.*/, ''),
  (random) => JSON.stringify((random() + random() / 2 ** 32) / 2 ** (random() % 64)),
  (random) => ((random() + random() / 2 ** 32) * 10 ** ((random() % 80) - 40)).toExponential(random() % 18),
  (random) => {
    doubleBits[0] = random()
    doubleBits[1] = random()
    return Number.isFinite(double[0]) ? JSON.stringify(double[0]) : '1e400'
  },
  (random) => `${random() % 2 === 0 ? '-' : ''}0.${digits(random, 1 + (random() % 25))}`,
  (random) => `${1 + (random() % 9)}${digits(random, random() % 22)}.${digits(random, 1 + (random() % 22))}`,
  (random) =>
    [
      1 + (random() % 9),
      digits(random, random() % 22),
      pick(random, ['e', 'E', 'e+', 'E-']),
      digits(random, 1 + (random() % 3)),
    ].join(''),
  // This number is exactly the middle of two doubles.
  (random) => String(2n ** 53n * BigInt(1 + (random() % 100)) + BigInt(random() % 4096)),
  (random) => pick(random, HARD_NUMBERS),
]

/** A random number in any notation and of any magnitude. */
export const randomNumber = (random: () => number): string => pick(random, FORMS)(random)
