/** Converts integers of uploads to float32, which the kernels read. */
import type { ElementType } from '../core/types.ts'

/** The element types that the kernels do not read. */
export type IntegerType = Exclude<ElementType, 'float64' | 'float32' | 'float16' | 'bfloat16'>

/** Whether {@link widenIntegers} must convert `type` for a kernel. */
export const isIntegerType = (type: ElementType): type is IntegerType =>
  type !== 'float64' && type !== 'float32' && type !== 'float16' && type !== 'bfloat16'

/**
 * Converts target.length integers at `at` of `buffer` (aligned for their type) to float32, rounded once, half
 * to even. A bool becomes 0 or 1.
 */
export const widenIntegers = (
  type: IntegerType,
  buffer: ArrayBufferLike,
  at: number,
  target: Float32Array,
): void => {
  const count = target.length
  switch (type) {
    case 'int8':
      target.set(new Int8Array(buffer, at, count))
      break
    case 'uint8':
      target.set(new Uint8Array(buffer, at, count))
      break
    case 'int16':
      target.set(new Int16Array(buffer, at, count))
      break
    case 'uint16':
      target.set(new Uint16Array(buffer, at, count))
      break
    case 'int32':
      target.set(new Int32Array(buffer, at, count))
      break
    case 'uint32':
      target.set(new Uint32Array(buffer, at, count))
      break
    case 'int64':
      widenWide(new Int32Array(buffer, at, count * 2), new Uint32Array(buffer, at, count * 2), target)
      break
    case 'uint64':
      widenWide(new Uint32Array(buffer, at, count * 2), new Uint32Array(buffer, at, count * 2), target)
      break
    case 'bool': {
      const bytes = new Uint8Array(buffer, at, count)
      for (let i = 0; i < count; i++) target[i] = bytes[i] === 0 ? 0 : 1
    }
  }
}

const EXACT = 2 ** 53
const LOST_BITS = 0x7ff

/**
 * Converts 64-bit integers, given by their upper words (which carry the sign) and lower words. Above 2^53 a
 * double would round, and the store to float32 would round again. There the 11 lowest bits, which a double
 * cannot hold, are first folded into the one above them (rounding to odd), so that the store is the only
 * rounding.
 */
const widenWide = (upper: Int32Array | Uint32Array, lower: Uint32Array, target: Float32Array): void => {
  for (let i = 0; i < target.length; i++) {
    const high = upper[2 * i + 1] * 2 ** 32
    const low = lower[2 * i]
    const value = high + low
    if (value < EXACT && value > -EXACT) target[i] = value
    else target[i] = high + ((low & LOST_BITS) === 0 ? low : ((low & ~LOST_BITS) | (LOST_BITS + 1)) >>> 0)
  }
}
