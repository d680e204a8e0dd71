/**
 * Writes one stored row in the output format. The kind of row is a compile-time constant, so no test of it is
 * left in a loop.
 */
import { tableLoad32, tableLoad64, tableLoad128, tableLoad128At16, tableLoad128At32,
  tableLoad128At48 } from './access.as'
import { copyOut } from './copy.as'
import { areCommon, widenBfloat16, widenCommon, widenFloat16 } from './floats.as'

export const enum Row { Bytes4, Bytes8, Bytes16, Bytes32, Bytes64, Raw, Float16, Bfloat16, Int8 }

/**
 * Returns the bytes of a stored row. `size` is that number itself for raw copies, and the dim for other
 * kinds.
 */
@inline
export function storedBytes(kind: Row, size: i32): i32 {
  if (kind == Row.Int8) return size + INT8_SUFFIX_BYTES
  if (kind == Row.Float16 || kind == Row.Bfloat16) return size << 1
  return size
}

@inline
export function outputBytes(kind: Row, size: i32): i32 {
  if (kind >= Row.Float16) return size << 2
  return size
}

/** Stores the first `count` (0..3) lanes. */
@inline
export function storeLanes(to: usize, lanes: v128, count: i32): void {
  let rest = lanes
  let at = to
  if (count & 2) {
    v128.store_lane<u64>(at, rest, 0)
    rest = v128.shuffle<i32>(rest, rest, 2, 3, 2, 3)
    at += 8
  }
  if (count & 1) v128.store_lane<u32>(at, rest, 0)
}

@inline
function widenLow(kind: Row, halves: v128, common: bool): v128 {
  if (kind == Row.Bfloat16) return widenBfloat16(i32x4.extend_low_i16x8_u(halves))
  return common ? widenCommon(i32x4.extend_low_i16x8_s(halves))
    : widenFloat16(i32x4.extend_low_i16x8_u(halves))
}

@inline
function widenHigh(kind: Row, halves: v128, common: bool): v128 {
  if (kind == Row.Bfloat16) return widenBfloat16(i32x4.extend_high_i16x8_u(halves))
  return common ? widenCommon(i32x4.extend_high_i16x8_s(halves))
    : widenFloat16(i32x4.extend_high_i16x8_u(halves))
}

/**
 * Widens a 16-bit row to float32. The loads of the tail read up to 14 bytes after the row; the spare bytes of
 * the segment allow that.
 */
@inline
function widenRow(kind: Row, to: usize, from: u64, dim: i32): void {
  let k = 0
  for (; k <= dim - 8; k += 8) {
    const halves = tableLoad128(from + (<u64>k << 1))
    if (kind == Row.Float16 && areCommon(halves)) {
      v128.store(to + (k << 2), widenLow(kind, halves, true))
      v128.store(to + (k << 2), widenHigh(kind, halves, true), 16)
    } else {
      v128.store(to + (k << 2), widenLow(kind, halves, false))
      v128.store(to + (k << 2), widenHigh(kind, halves, false), 16)
    }
  }
  if (k == dim) return
  const halves = tableLoad128(from + (<u64>k << 1))
  let lanes = widenLow(kind, halves, false)
  if (dim & 4) {
    v128.store(to + (k << 2), lanes)
    lanes = widenHigh(kind, halves, false)
    k += 4
  }
  storeLanes(to + (k << 2), lanes, dim & 3)
}

/** Dequantises four bytes, extended to 32-bit lanes: fround(byte * scale + bias), computed in float64. */
@inline
export function dequantiseLanes(bytes: v128, scale: v128, bias: v128): v128 {
  const low = f64x2.add(f64x2.mul(f64x2.convert_low_i32x4_s(bytes), scale), bias)
  const upper = v128.shuffle<i32>(bytes, bytes, 2, 3, 2, 3)
  const high = f64x2.add(f64x2.mul(f64x2.convert_low_i32x4_s(upper), scale), bias)
  return v128.shuffle<i32>(f32x4.demote_f64x2_zero(low), f32x4.demote_f64x2_zero(high), 0, 1, 4, 5)
}

/**
 * Dequantises an int8 row to float32. The loads of the tail end within the row, because scale and bias follow
 * the bytes.
 */
@inline
function dequantiseRow(to: usize, from: u64, dim: i32): void {
  const scale = f64x2.splat(<f64>reinterpret<f32>(tableLoad32(from + <u64>dim)))
  const bias = f64x2.splat(<f64>reinterpret<f32>(tableLoad32(from + <u64>dim + 4)))
  let k = 0
  for (; k <= dim - 8; k += 8) {
    const words = i16x8.extend_low_i8x16_u(i64x2.splat(<i64>tableLoad64(from + <u64>k)))
    v128.store(to + (k << 2), dequantiseLanes(i32x4.extend_low_i16x8_u(words), scale, bias))
    v128.store(to + (k << 2), dequantiseLanes(i32x4.extend_high_i16x8_u(words), scale, bias), 16)
  }
  if (k == dim) return
  const words = i16x8.extend_low_i8x16_u(i64x2.splat(<i64>tableLoad64(from + <u64>k)))
  let lanes = dequantiseLanes(i32x4.extend_low_i16x8_u(words), scale, bias)
  if (dim & 4) {
    v128.store(to + (k << 2), lanes)
    lanes = dequantiseLanes(i32x4.extend_high_i16x8_u(words), scale, bias)
    k += 4
  }
  storeLanes(to + (k << 2), lanes, dim & 3)
}

@inline
export function writeOutputRow(kind: Row, to: usize, from: u64, size: i32): void {
  if (kind == Row.Bytes4) store<u32>(to, tableLoad32(from))
  else if (kind == Row.Bytes8) store<u64>(to, tableLoad64(from))
  else if (kind == Row.Bytes16) v128.store(to, tableLoad128(from))
  else if (kind == Row.Bytes32) {
    const first = tableLoad128(from)
    const second = tableLoad128At16(from)
    v128.store(to, first)
    v128.store(to, second, 16)
  } else if (kind == Row.Bytes64) {
    const first = tableLoad128(from)
    const second = tableLoad128At16(from)
    const third = tableLoad128At32(from)
    const fourth = tableLoad128At48(from)
    v128.store(to, first)
    v128.store(to, second, 16)
    v128.store(to, third, 32)
    v128.store(to, fourth, 48)
  } else if (kind == Row.Raw) copyOut(to, from, size)
  else if (kind == Row.Int8) dequantiseRow(to, from, size)
  else widenRow(kind, to, from, size)
}
