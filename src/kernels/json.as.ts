// Prints float32 as JSON: the shortest decimal that reads back to the same float32, in the notation of JavaScript.
// The search for the digits is Schubfach (Raffaello Giulietti, "The Schubfach way to render doubles", 2020) for 24-bit
// significands, here with one product of the value and a 64-bit power of ten; the ends of the interval are a sum away. Its digits
// were compared with those of std::to_chars (Ryu) for every float32.
// No allocation and no static data, which would land in the shared arena: the powers lie where json.ts puts them.

// 77 u64 for k = -31..45: 10^k * 2^r, rounded up, with r such that 2^63 <= power < 2^64.
@external('env', 'tablesAt')
declare const tablesAt: usize

const POWER_MIN: i32 = -31
/**
 * Its shortest decimal, 7.038531e-26, is so close to the end of the interval that a reader who rounds to double first, as most do, misses
 * it.
 */
const LONGER_BITS: u32 = 0x15ae43fd

/** floor(log10(2^exponent)), or of 3/4 of it. */
@inline
function floorLog10(exponent: i32, threeQuarters: bool): i32 {
  return (exponent * 1262611 - select<i32>(524031, 0, threeQuarters)) >> 22
}

/** floor(log2(10^exponent)) */
@inline
function floorLog2(exponent: i32): i32 {
  return (exponent * 1741647) >> 19
}

/** The integer part of a product in 32.32 bits; its lowest bit is set when there is a fraction beyond the error of the powers. */
@inline
function roundToOdd(product: u64): u32 {
  return <u32>(product >> 32) | u32(<u32>product > 2)
}

/** Eight decimal digits as eight bytes 0..9, the first digit in the lowest byte. */
@inline
function spreadDigits(value: u32): u64 {
  const high = value / 10000
  const fours = <u64>high | (<u64>(value - high * 10000) << 32)
  const hundreds = ((fours * 10486) >> 20) & 0x0000007f0000007f
  const twos = hundreds | ((fours - hundreds * 100) << 16)
  const tens = ((twos * 103) >> 10) & 0x000f000f000f000f
  return tens | ((twos - tens * 10) << 8)
}

/** Writes `decimal` * 10^`power` at `at` as JavaScript prints numbers; returns the end. May scribble over 16 bytes behind it. */
@inline
function writeDecimal(at: usize, decimal: u32, power: i32): usize {
  // Only subnormal numbers have fewer than seven digits here.
  while (decimal < 1000000) {
    decimal *= 10
    power -= 1
  }
  const missing = u32(decimal < 100000000) + u32(decimal < 10000000)
  const nine = decimal * select<u32>(1, select<u32>(10, 100, missing == 1), missing == 0)
  const first = nine / 100000000
  const spread = spreadDigits(nine - first * 100000000)
  // Trailing zeros are the zero bytes at the upper end.
  const digits = 9 - <i32>(clz(spread) >> 3)
  const rest = spread | 0x3030303030303030
  const point = 9 + power - <i32>missing
  if (point <= 0 && point > -6) {
    store<u64>(at, 0x303030303030_2e30)
    const start = at + 2 - point
    store<u8>(start, <u8>(first + 48))
    store<u64>(start + 1, rest)
    return start + digits
  }
  store<u8>(at, <u8>(first + 48))
  if (point > 0 && point <= 21) {
    store<u64>(at + 1, rest)
    if (digits > point) {
      store<u8>(at + point, 0x2e)
      store<u64>(at + point + 1, rest >> (<u64>(point - 1) << 3))
      return at + digits + 1
    }
    if (point > 9) {
      store<u64>(at + 9, 0x3030303030303030)
      store<u64>(at + 17, 0x3030303030303030)
    }
    return at + point
  }
  store<u64>(at + 2, rest)
  if (digits > 1) {
    store<u8>(at + 1, 0x2e)
    at += digits + 1
  } else {
    at += 1
  }
  let exponent = point - 1
  store<u16>(at, exponent < 0 ? 0x2d65 : 0x2b65)
  if (exponent < 0) exponent = -exponent
  at += 2
  if (exponent >= 10) {
    const tens = exponent / 10
    store<u16>(at, <u16>((tens + 48) | ((exponent - tens * 10 + 48) << 8)))
    return at + 2
  }
  store<u8>(at, <u8>(exponent + 48))
  return at + 1
}

/** Writes a finite value above zero, given as its bits. */
@inline
function writePositive(at: usize, bits: u32): usize {
  const fraction = bits & 0x7fffff
  const biased = <i32>(bits >> 23)
  const significand = biased != 0 ? fraction | 0x800000 : fraction
  const exponent = select<i32>(biased, 1, biased != 0) - 150
  // Below a power of two the next value is only half as far away.
  const lowerCloser = fraction == 0 && biased > 1
  const power = floorLog10(exponent, lowerCloser)
  const shift = exponent + floorLog2(-power) + 1
  const scale = load<u64>(tablesAt + (<usize>(-power - POWER_MIN) << 3))
  // In quarters of 10^power: the value, and the ends of the interval that rounds to it. Ends count when the significand is even.
  const factor = <u64>((significand << 2) << shift)
  const product = (scale >> 32) * factor + (((scale & 0xffffffff) * factor) >> 32)
  const half = <u64>(31 - shift)
  const odd: u32 = significand & 1
  const value = roundToOdd(product)
  const lower = roundToOdd(product - (scale >> (half + <u64>lowerCloser))) + odd
  const upper = roundToOdd(product + (scale >> half) + 1) - odd
  const whole = value >> 2
  const tenth: u32 = whole / 10
  // At most one multiple of ten lies inside; when one does it is shorter than any other decimal there.
  const tenthBelow = u32(lower <= tenth * 40)
  const tenthAbove = u32(tenth * 40 + 40 <= upper)
  const middle = (whole << 2) + 2
  const nearest = u32(value > middle) | (u32(value == middle) & whole & 1) | u32(lower > whole << 2)
  const isShort = (tenthBelow ^ tenthAbove) & u32(bits != LONGER_BITS)
  return writeDecimal(at, select<u32>((tenth + tenthAbove) * 10, whole + nearest, isShort), power)
}

/** Writes one value; NaN and infinities as null. */
@inline
function writeValue(at: usize, bits: u32): usize {
  const magnitude = bits & 0x7fffffff
  if (magnitude >= 0x7f800000) {
    store<u32>(at, 0x6c6c756e)
    return at + 4
  }
  store<u8>(at, 0x2d)
  at += <usize>(bits >> 31)
  if (magnitude == 0) {
    store<u8>(at, 0x30)
    return at + 1
  }
  return writePositive(at, magnitude)
}

/** Axes that begin at `row` (or, for the row after one, that end before it): trailing ones of the counters that are at zero. */
function startingAxes(shapeAt: usize, axisCount: i32, row: u32): i32 {
  let axes = 0
  for (let axis = axisCount - 1; axis >= 0; axis -= 1) {
    const length = load<u32>(shapeAt + (<usize>axis << 2))
    if (row % length != 0) break
    row /= length
    axes += 1
  }
  return axes
}

/**
 * Prints the rows firstRow..lastRow (the last one not included) of a tensor whose values begin, for firstRow, at valuesAt.
 * A row is `dim` values; `axisCount` outer lengths, none of them zero, lie at shapeAt; `brackets` is 0 for a scalar, else 1.
 * What is printed is that part of the whole tensor's text: parts put together are the text. Returns the end.
 */
export function print(
  shapeAt: usize, axisCount: i32, dim: u32, brackets: i32, valuesAt: usize, firstRow: u32, lastRow: u32, outAt: usize,
): usize {
  let opening = startingAxes(shapeAt, axisCount, firstRow)
  for (let row = firstRow; row < lastRow; row += 1) {
    if (row > 0) {
      store<u8>(outAt, 0x2c)
      outAt += 1
    }
    memory.fill(outAt, 0x5b, opening + brackets)
    outAt += opening + brackets
    for (let column: u32 = 0; column < dim; column += 1) {
      outAt = writeValue(outAt, load<u32>(valuesAt))
      valuesAt += 4
      store<u8>(outAt, 0x2c)
      outAt += 1
    }
    outAt -= usize(dim > 0)
    opening = startingAxes(shapeAt, axisCount, row + 1)
    memory.fill(outAt, 0x5d, opening + brackets)
    outAt += opening + brackets
  }
  return outAt
}
