/**
 * Converts elements of one type to another through float32, four at a time, from the arena into either
 * memory. Sources may have any alignment. The last one to three elements are converted one by one with the
 * same operations.
 */
import { tableStore16, tableStore32, tableStore64, tableStore128 } from './access.as'
import { Element } from './codes.as'
import { narrowBfloat16, narrowFloat16, widenBfloat16, widenFloat16 } from './floats.as'

@inline
function elementBytes(type: Element): i32 {
  if (type == Element.Float64) return 8
  return type == Element.Float32 ? 4 : 2
}

/**
 * Replaces every NaN with 7FC00000, because the bits that the conversion from float64 gives depend on the
 * processor.
 */
@inline
function replaceNan(lanes: v128): v128 {
  return v128.bitselect(lanes, i32x4.splat(0x7fc00000), f32x4.eq(lanes, lanes))
}

/** Loads four elements as float32, or (`copies`) the bits of 16-bit elements in 32-bit lanes. */
@inline
function loadFour(type: Element, copies: bool, at: usize): v128 {
  if (type == Element.Float64) {
    return replaceNan(v128.shuffle<i32>(f32x4.demote_f64x2_zero(v128.load(at)),
      f32x4.demote_f64x2_zero(v128.load(at, 16)), 0, 1, 4, 5))
  }
  if (type == Element.Float32) return v128.load(at)
  const halves = v128.load16x4_u(at)
  if (copies) return halves
  return type == Element.Float16 ? widenFloat16(halves) : widenBfloat16(halves)
}

/** Loads one element into every lane, in the form of {@link loadFour}. */
@inline
function loadOne(type: Element, copies: bool, at: usize): v128 {
  if (type == Element.Float64) return replaceNan(f32x4.splat(<f32>load<f64>(at)))
  if (type == Element.Float32) return v128.load32_splat(at)
  const half = i32x4.splat(<i32>load<u16>(at))
  if (copies) return half
  return type == Element.Float16 ? widenFloat16(half) : widenBfloat16(half)
}

/** Returns the bits of the target type in 32-bit lanes. */
@inline
function encode(type: Element, copies: bool, value: v128): v128 {
  if (copies) return value
  if (type == Element.Float16) return narrowFloat16(value)
  if (type == Element.Bfloat16) return narrowBfloat16(value)
  return value
}

/** Marks the lanes whose exponent bits are all set, which are infinity and NaN. */
@inline
function nonFinite(type: Element, bits: v128): v128 {
  const exponent = i32x4.splat(
    type == Element.Float16 ? 0x7c00 : type == Element.Bfloat16 ? 0x7f80 : 0x7f800000,
  )
  return i32x4.eq(v128.and(bits, exponent), exponent)
}

@inline
function storeFour(type: Element, intoTable: bool, to: u64, bits: v128): void {
  if (type == Element.Float32) {
    if (intoTable) tableStore128(to, bits)
    else v128.store(<usize>to, bits)
  } else {
    const halves = i64x2.extract_lane(i16x8.narrow_i32x4_u(bits, bits), 0)
    if (intoTable) tableStore64(to, halves)
    else store<i64>(<usize>to, halves)
  }
}

@inline
function storeOne(type: Element, intoTable: bool, to: u64, bits: v128): void {
  const word = i32x4.extract_lane(bits, 0)
  if (type == Element.Float32) {
    if (intoTable) tableStore32(to, word)
    else store<i32>(<usize>to, word)
  } else {
    if (intoTable) tableStore16(to, word)
    else store<u16>(<usize>to, <u16>word)
  }
}

/**
 * Converts `count` elements. Returns the index of the first whose result is not finite, or -1. Elements of
 * the target's own type are copied, so that every NaN keeps its bits.
 */
@inline
function convertElements(source: Element, target: Element, intoTable: bool, from: usize, count: i32,
  to: u64): i32 {
  const sourceBytes = elementBytes(source)
  const targetBytes = elementBytes(target)
  const copies = source == target
  let first = -1
  let i = 0
  let read = from
  let write = to
  for (; i <= count - 4; i += 4) {
    const bits = encode(target, copies, loadFour(source, copies, read))
    storeFour(target, intoTable, write, bits)
    const bad = nonFinite(target, bits)
    if (v128.any_true(bad) && first < 0) first = i + ctz(i32x4.bitmask(bad))
    read += sourceBytes * 4
    write += targetBytes * 4
  }
  for (; i < count; i++) {
    const bits = encode(target, copies, loadOne(source, copies, read))
    storeOne(target, intoTable, write, bits)
    if (v128.any_true(nonFinite(target, bits)) && first < 0) first = i
    read += sourceBytes
    write += targetBytes
  }
  return first
}

@inline
function convertTo(target: Element, intoTable: bool, source: Element, from: usize, count: i32, to: u64): i32 {
  if (source == Element.Float64) return convertElements(Element.Float64, target, intoTable, from, count, to)
  if (source == Element.Float32) return convertElements(Element.Float32, target, intoTable, from, count, to)
  if (source == Element.Float16) return convertElements(Element.Float16, target, intoTable, from, count, to)
  return convertElements(Element.Bfloat16, target, intoTable, from, count, to)
}

/** Calls {@link convertElements} for types that are only known at run time. */
@inline
export function convertAny(intoTable: bool, source: Element, target: Element, from: usize, count: i32,
  to: u64): i32 {
  if (target == Element.Float32) return convertTo(Element.Float32, intoTable, source, from, count, to)
  if (target == Element.Float16) return convertTo(Element.Float16, intoTable, source, from, count, to)
  return convertTo(Element.Bfloat16, intoTable, source, from, count, to)
}

/** Returns the index of the first float32 that is infinite or NaN, or -1. */
export function firstNonFinite(at: usize, count: i32): i32 {
  let i = 0
  for (; i <= count - 4; i += 4) {
    const bad = nonFinite(Element.Float32, v128.load(at + (i << 2)))
    if (v128.any_true(bad)) return i + ctz(i32x4.bitmask(bad))
  }
  for (; i < count; i++) {
    if ((load<i32>(at + (i << 2)) & 0x7f800000) == 0x7f800000) return i
  }
  return -1
}
