/**
 * Conversions of four lanes between float32 and the 16-bit formats, in integer lanes: without branches and
 * without denormal operands, which are slow.
 */

/** Converts float16 bits in 32-bit lanes to float32. */
@inline
export function widenFloat16(half: v128): v128 {
  const magnitude = v128.and(half, i32x4.splat(0x7fff))
  const sign = i32x4.shl(v128.and(half, i32x4.splat(0x8000)), 16)
  const normal = i32x4.add(i32x4.shl(magnitude, 13), i32x4.splat((127 - 15) << 23))
  // Infinity and NaN keep their mantissa and get all exponent bits.
  const special = v128.or(normal, i32x4.splat(0x7f800000))
  // A subnormal is its integer value times 2^-24, which is exact and normal in float32.
  const small = f32x4.mul(f32x4.convert_i32x4_s(magnitude), f32x4.splat(5.9604644775390625e-8))
  const finite = v128.bitselect(small, normal, i32x4.lt_s(magnitude, i32x4.splat(0x0400)))
  return v128.or(sign, v128.bitselect(special, finite, i32x4.gt_s(magnitude, i32x4.splat(0x7bff))))
}

/**
 * Returns true if all of eight float16 are zero or normal, so that {@link widenCommon} may be used, which
 * takes a third of the instructions.
 */
@inline
export function areCommon(halves: v128): bool {
  const magnitude = v128.and(halves, i16x8.splat(0x7fff))
  const subnormal = i16x8.lt_u(i16x8.sub(magnitude, i16x8.splat(1)), i16x8.splat(0x03ff))
  return !v128.any_true(v128.or(subnormal, i16x8.gt_s(magnitude, i16x8.splat(0x7bff))))
}

/**
 * Converts float16 bits that are zero or normal, sign-extended to 32-bit lanes, to float32: moves them into
 * place, then raises the exponents by 127 - 15.
 */
@inline
export function widenCommon(half: v128): v128 {
  const moved = v128.and(i32x4.shl(half, 13), i32x4.splat(<i32>0x8fffe000))
  return f32x4.mul(moved, f32x4.splat(5.192296858534828e33))
}

/** Converts bfloat16 bits in 32-bit lanes to float32. */
@inline
export function widenBfloat16(half: v128): v128 {
  return i32x4.shl(half, 16)
}

/**
 * Converts float32 to float16 bits in 32-bit lanes, half to even. 65,520 and above become infinity; NaN
 * becomes 7E00 with its sign.
 */
@inline
export function narrowFloat16(value: v128): v128 {
  const magnitude = v128.and(value, i32x4.splat(0x7fffffff))
  const sign = i32x4.shr_u(v128.and(value, i32x4.splat(<i32>0x80000000)), 16)
  const odd = v128.and(i32x4.shr_u(magnitude, 13), i32x4.splat(1))
  const rebased = i32x4.add(magnitude, i32x4.splat(((15 - 127) << 23) + 0xfff))
  const normal = i32x4.shr_u(i32x4.add(rebased, odd), 13)
  // Adding 0.5 leaves 24 bits below it, the last of which is 2^-24, so the addition itself rounds a subnormal
  // half to even.
  const small = i32x4.sub(f32x4.add(magnitude, f32x4.splat(0.5)), i32x4.splat(0x3f000000))
  const finite = v128.bitselect(small, normal, i32x4.lt_s(magnitude, i32x4.splat(0x38800000)))
  const special = v128.bitselect(i32x4.splat(0x7e00), i32x4.splat(0x7c00),
    i32x4.gt_s(magnitude, i32x4.splat(0x7f800000)))
  return v128.or(sign, v128.bitselect(special, finite, i32x4.gt_s(magnitude, i32x4.splat(0x477fffff))))
}

/** Converts float32 to bfloat16 bits in 32-bit lanes, half to even. NaN becomes 7FC0 with its sign. */
@inline
export function narrowBfloat16(value: v128): v128 {
  const magnitude = v128.and(value, i32x4.splat(0x7fffffff))
  const odd = v128.and(i32x4.shr_u(value, 16), i32x4.splat(1))
  const rounded = i32x4.shr_u(i32x4.add(i32x4.add(value, i32x4.splat(0x7fff)), odd), 16)
  const nan = v128.or(i32x4.shr_u(v128.and(value, i32x4.splat(<i32>0x80000000)), 16), i32x4.splat(0x7fc0))
  return v128.bitselect(nan, rounded, i32x4.gt_s(magnitude, i32x4.splat(0x7f800000)))
}
