/**
 * Loads four numbers of a row at a time and widens them in registers. The source is a compile-time constant,
 * so no test of it is left in a loop.
 */
import { tableLoad32, tableLoad64, tableLoad128 } from './access.as'
import { Source } from './codes.as'
import { widenBfloat16, widenCommon } from './floats.as'
import { dequantiseLanes } from './rows.as'

@inline
export function sourceRowBytes(source: Source, dim: i32): i32 {
  if (source == Source.Int8) return dim + INT8_SUFFIX_BYTES
  return source == Source.Float16 || source == Source.Bfloat16 ? dim << 1 : dim << 2
}

/** Returns the scale of an int8 row in float64 lanes; zeros for other sources. */
@inline
export function scaleOf(source: Source, at: u64, dim: i32): v128 {
  if (source != Source.Int8) return i32x4.splat(0)
  return f64x2.splat(<f64>reinterpret<f32>(tableLoad32(at + <u64>dim)))
}

/** Returns the bias of an int8 row in float64 lanes; zeros for other sources. */
@inline
export function biasOf(source: Source, at: u64, dim: i32): v128 {
  if (source != Source.Int8) return i32x4.splat(0)
  return f64x2.splat(<f64>reinterpret<f32>(tableLoad32(at + <u64>dim + 4)))
}

/**
 * Converts float16 bits, sign-extended to 32-bit lanes, to float32, with half the instructions of
 * widenFloat16. A subnormal is a denormal operand here.
 */
@inline
function widenAny(half: v128): v128 {
  const value = widenCommon(half)
  // Infinity and NaN have become 65,536 and above.
  const special = f32x4.ge(f32x4.abs(value), f32x4.splat(65536))
  return v128.or(value, v128.and(special, i32x4.splat(0x7f800000)))
}

/**
 * Loads the numbers `column`..`column`+3 of the row at `at`. At the end of a row it reads up to 12 bytes
 * after it.
 */
@inline
export function loadLanes(source: Source, at: u64, column: i32, scale: v128, bias: v128): v128 {
  if (source == Source.Packed) return v128.load(<usize>at + (column << 2))
  if (source == Source.Float32) return tableLoad128(at + (<u64>column << 2))
  if (source == Source.Int8) {
    const words = i16x8.extend_low_i8x16_u(i32x4.splat(tableLoad32(at + <u64>column)))
    return dequantiseLanes(i32x4.extend_low_i16x8_u(words), scale, bias)
  }
  const halves = i64x2.splat(<i64>tableLoad64(at + (<u64>column << 1)))
  return source == Source.Float16 ? widenAny(i32x4.extend_low_i16x8_s(halves))
    : widenBfloat16(i32x4.extend_low_i16x8_u(halves))
}

/**
 * Loads the last `rest` (1..3) columns of a row, with zeros in the other lanes, because the bytes after a row
 * belong to another row.
 */
@inline
export function loadTail(source: Source, row: u64, dim: i32, rest: i32, scale: v128, bias: v128): v128 {
  return v128.and(loadLanes(source, row, dim - rest, scale, bias),
    i32x4.gt_s(i32x4.splat(rest), i32x4(0, 1, 2, 3)))
}
