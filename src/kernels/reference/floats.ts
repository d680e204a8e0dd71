/** Conversions of single numbers by their bits, which preserve NaN and minus zero. */

const scratch = new DataView(new ArrayBuffer(8))

/** Returns the float32 with these bits. */
export const fromBits = (bits: number): number => {
  scratch.setUint32(0, bits)
  return scratch.getFloat32(0)
}

/** Returns the bits of the float32 nearest to `value`, half to even. NaN gives 7FC00000. */
export const toBits = (value: number): number => {
  if (Number.isNaN(value)) return 0x7fc00000
  scratch.setFloat32(0, value)
  return scratch.getUint32(0)
}

/** Converts float16 bits to float32 bits. Exact; NaN keeps its sign and mantissa. */
export const widenFloat16 = (half: number): number => {
  const sign = (half & 0x8000) << 16
  const exponent = (half >> 10) & 31
  const mantissa = half & 0x3ff
  if (exponent === 31) return (sign | 0x7f800000 | (mantissa << 13)) >>> 0
  if (exponent > 0) return (sign | ((exponent + 112) << 23) | (mantissa << 13)) >>> 0
  return (sign | toBits(mantissa * 2 ** -24)) >>> 0
}

/** Converts bfloat16 bits to float32 bits. Exact. */
export const widenBfloat16 = (half: number): number => (half << 16) >>> 0

/** Converts float32 bits to float16 bits, half to even. NaN gives 7E00 with its sign. */
export const narrowFloat16 = (bits: number): number => {
  const value = fromBits(bits)
  if (Number.isNaN(value)) return ((bits >>> 16) & 0x8000) | 0x7e00
  scratch.setFloat16(0, value)
  return scratch.getUint16(0)
}

/** Converts float32 bits to bfloat16 bits, half to even. NaN gives 7FC0 with its sign. */
export const narrowBfloat16 = (bits: number): number => {
  const upper = bits >>> 16
  if (Number.isNaN(fromBits(bits))) return (upper & 0x8000) | 0x7fc0
  const lower = bits & 0xffff
  return lower > 0x8000 || (lower === 0x8000 && upper % 2 === 1) ? upper + 1 : upper
}

/** Rounds to the nearest integer, half to even. */
export const roundHalfEven = (value: number): number => {
  const floor = Math.floor(value)
  const rest = value - floor
  if (rest === 0.5) return floor % 2 === 0 ? floor : floor + 1
  return rest < 0.5 ? floor : floor + 1
}
