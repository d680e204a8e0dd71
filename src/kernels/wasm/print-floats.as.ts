/**
 * Prints float32 as JSON: the shortest decimal that reads back to the same float32, in the notation of
 * JavaScript. decimals.as.ts finds the digits of a block of numbers, and this file writes them. The output
 * for every float32 was compared with std::to_chars (Ryu). The kernel allocates nothing and has no static
 * data, which would be placed in the shared arena; the tables are at the address that print-floats.ts
 * chooses.
 */
import { findDecimals } from './decimals.as'
import { writeSlowPath } from './print-slow-path.as'
import { CONSTANTS_AT, DECIMALS_AT, FORMS_AT, REST_AT, SLOW_PATH } from './print-tables.as'

// The tables at this address. First, 16 bytes for each biased exponent: the u64 2^exponent / 10^power,
// rounded up, with 60 fraction bits; an i32, the position of the decimal point in nine digits, or NO_POINT if
// the number is not normal; a u32, the offset of the form for these digits. Then 77 u64 for k = -31..45: 10^k
// * 2^r, rounded up, with r chosen so that 2^63 <= power < 2^64. Then working memory for the decimals and
// values of a block, and the constants of decimals.as.ts. Then the forms for nine digits with the point after
// -3 to 9 of them: for each position four times two forms of 64 bytes, by the number of leading zeros and by
// sign. A form holds the digit for each character, all other characters, and the length by the number of
// trailing zeros.
@external('env', 'tablesAt')
declare const tablesAt: usize

const BLOCK: u32 = 64

/**
 * Writes `count` numbers, each followed by a comma. Their decimals are at `decimalAt`, their values at
 * `valuesAt`.
 */
@inline
function writeNumbers(tables: usize, at: usize, decimalAt: usize, valuesAt: usize, count: u32): usize {
  for (const end = decimalAt + (<usize>count << 4); decimalAt < end; decimalAt += 16) {
    const formOffset = load<u32>(decimalAt, 12)
    if (formOffset < <u32>SLOW_PATH) {
      const form = tables + formOffset
      const digits = i8x16.swizzle(v128.load(decimalAt), v128.load(form, FORMS_AT))
      v128.store(at, v128.or(digits, v128.load(form, FORMS_AT + 16)))
      at += load<u8>(form + <usize>(clz(load<u64>(decimalAt)) >> 3), FORMS_AT + 32)
    } else {
      at = writeSlowPath(at, load<u32>(valuesAt + (<usize>count << 2) - (end - decimalAt >> 2)), decimalAt)
    }
    store<u8>(at, 0x2c)
    at += 1
  }
  return at
}

/** Finds the decimals of the next `count` values, up to a block. */
function findBlock(valuesAt: usize, count: u32): void {
  let index: usize = 0
  for (; index + 4 <= count; index += 4) {
    findDecimals(valuesAt + (index << 2), tablesAt, tablesAt + CONSTANTS_AT,
      tablesAt + DECIMALS_AT + (index << 4))
  }
  if (index == count) return
  // There may be no memory after the last value, so the rest is copied first.
  for (let rest = index; rest < count; rest += 1) {
    store<u32>(tablesAt + (rest - index << 2), load<u32>(valuesAt + (rest << 2)), REST_AT)
  }
  findDecimals(tablesAt + REST_AT, tablesAt, tablesAt + CONSTANTS_AT, tablesAt + DECIMALS_AT + (index << 4))
}

/**
 * Counts the axes that begin at `row` (or, for the row after one, that end before it): the trailing counters
 * that are zero.
 */
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

/** Writes `count` brackets. They are few, and memory.fill would be a call into the engine. */
@inline
function writeBrackets(at: usize, bracket: u8, count: i32): usize {
  for (; count > 0; count -= 1) {
    store<u8>(at, bracket)
    at += 1
  }
  return at
}

/**
 * Prints the rows firstRow..lastRow (excluding the last) of a tensor; the values of firstRow begin at
 * valuesAt. A row is `dim` values; the `axisCount` outer lengths, none of them zero, are at shapeAt;
 * `brackets` is 0 for a scalar, else 1. The parts of a tensor concatenate to its text. Returns the end of the
 * text.
 */
export function print(
  shapeAt: usize, axisCount: i32, dim: u32, brackets: i32, valuesAt: usize, firstRow: u32, lastRow: u32,
  outAt: usize,
): usize {
  const valuesEnd = valuesAt + <usize>(lastRow - firstRow) * dim * 4
  const tables = tablesAt
  let index = BLOCK
  let opening = startingAxes(shapeAt, axisCount, firstRow)
  for (let row = firstRow; row < lastRow; row += 1) {
    if (row > 0) {
      store<u8>(outAt, 0x2c)
      outAt += 1
    }
    outAt = writeBrackets(outAt, 0x5b, opening + brackets)
    for (let left = dim; left > 0; ) {
      if (index == BLOCK) {
        findBlock(valuesAt, <u32>min<usize>(BLOCK, valuesEnd - valuesAt >> 2))
        index = 0
      }
      const count = min(left, BLOCK - index)
      outAt = writeNumbers(tables, outAt, tables + DECIMALS_AT + (<usize>index << 4), valuesAt, count)
      index += count
      left -= count
      valuesAt += <usize>count << 2
    }
    outAt -= usize(dim > 0)
    opening = startingAxes(shapeAt, axisCount, row + 1)
    outAt = writeBrackets(outAt, 0x5d, opening + brackets)
  }
  return outAt
}
