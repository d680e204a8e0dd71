/** Makes typed arrays of the bytes of a body, which may have any element type and any alignment. */
import { assert } from '../core/assert.ts'
import { refuse } from '../core/errors.ts'
import { ELEMENT_BYTES, type ElementType, type IndexArray } from '../core/types.ts'

/**
 * Reads indices of any integer type: a view when the bytes are aligned, else a copy. Refuses DTYPE_MISMATCH
 * for floats and bool.
 */
export const asIndexArray = (
  data: Uint8Array,
  elementType: ElementType,
): Exclude<IndexArray, Float64Array> => {
  const { buffer, byteOffset, length } = alignBytes(data, elementType)
  switch (elementType) {
    case 'int8':
      return new Int8Array(buffer, byteOffset, length)
    case 'uint8':
      return new Uint8Array(buffer, byteOffset, length)
    case 'int16':
      return new Int16Array(buffer, byteOffset, length)
    case 'uint16':
      return new Uint16Array(buffer, byteOffset, length)
    case 'int32':
      return new Int32Array(buffer, byteOffset, length)
    case 'uint32':
      return new Uint32Array(buffer, byteOffset, length)
    case 'int64':
      return new BigInt64Array(buffer, byteOffset, length)
    case 'uint64':
      return new BigUint64Array(buffer, byteOffset, length)
    default:
      return refuse('DTYPE_MISMATCH', `indices must be integers, not ${elementType}`)
  }
}

/**
 * Reads gradients, weights or values as float32: a view when they are float32 and aligned, else a copy.
 * float64 is rounded half to even and overflows to infinity (the caller checks that all are finite); the
 * 16-bit types are exact. Refuses DTYPE_MISMATCH for integers and bool.
 */
export const asFloat32 = (data: Uint8Array, elementType: ElementType): Float32Array => {
  const { buffer, byteOffset, length } = alignBytes(data, elementType)
  switch (elementType) {
    case 'float32':
      return new Float32Array(buffer, byteOffset, length)
    case 'float64':
      return new Float32Array(new Float64Array(buffer, byteOffset, length))
    case 'float16':
      return new Float32Array(new Float16Array(buffer, byteOffset, length))
    case 'bfloat16':
      return widenBfloat16(new Uint16Array(buffer, byteOffset, length))
    default:
      return refuse('DTYPE_MISMATCH', `the values must be floating-point numbers, not ${elementType}`)
  }
}

/** Widens bfloat16 to float32, whose upper half it is. */
const widenBfloat16 = (source: Uint16Array): Float32Array => {
  const bits = new Uint32Array(source.length)
  for (let index = 0; index < source.length; index += 1) bits[index] = source[index] << 16
  return new Float32Array(bits.buffer)
}

const alignBytes = (
  data: Uint8Array,
  elementType: ElementType,
): { buffer: ArrayBufferLike; byteOffset: number; length: number } => {
  const elementBytes = ELEMENT_BYTES[elementType]
  assert(data.length % elementBytes === 0, 'the formats hand on whole elements')
  // data.slice() would not copy: that of a Buffer shares its memory.
  const { buffer, byteOffset } = data.byteOffset % elementBytes === 0 ? data : new Uint8Array(data)
  return { buffer, byteOffset, length: data.length / elementBytes }
}
