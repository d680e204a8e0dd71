/** Arranges the numbers of a whole array row by row and little-endian. */
import { assert } from '../core/assert.ts'
import { ELEMENT_BYTES, type ElementType } from '../core/types.ts'
import type { Arrangement } from './shape.ts'

/** Whether column order differs from row order: not with one dimension above 1, nor with an empty one. */
export const needsMoving = (shape: readonly number[]): boolean =>
  !shape.includes(0) && shape.filter((dimension) => dimension > 1).length >= 2

/** Reverses the bytes of each element in place. */
export const swapBytes = (bytes: Buffer, elementBytes: number): void => {
  if (elementBytes === 2) bytes.swap16()
  else if (elementBytes === 4) bytes.swap32()
  else if (elementBytes === 8) bytes.swap64()
}

/** Returns the numbers row by row and little-endian: `data` itself if it is so, or else a copy. */
export const arrangeRows = (
  data: Uint8Array,
  elementType: ElementType,
  shape: readonly number[],
  { isColumnOrder = false, isBigEndian = false }: Arrangement,
): Uint8Array => {
  const elementBytes = ELEMENT_BYTES[elementType]
  const isSwapped = isBigEndian && elementBytes > 1
  if (!isSwapped && !isColumnOrder) return data
  const copy = new Uint8Array(data)
  if (isSwapped) swapBytes(Buffer.from(copy.buffer), elementBytes)
  return isColumnOrder ? transpose(copy, elementBytes, shape) : copy
}

type Words = Uint8Array | Uint16Array | Uint32Array | BigUint64Array

const viewWords = ({ buffer }: Uint8Array<ArrayBuffer>, elementBytes: number): Words => {
  if (elementBytes === 8) return new BigUint64Array(buffer)
  if (elementBytes === 4) return new Uint32Array(buffer)
  return elementBytes === 2 ? new Uint16Array(buffer) : new Uint8Array(buffer)
}

/** Copies elements from column order to row order; `shape` has any number of axes. */
const transpose = (
  data: Uint8Array<ArrayBuffer>,
  elementBytes: number,
  shape: readonly number[],
): Uint8Array => {
  const target = new Uint8Array(data.length)
  const [from, to] = [viewWords(data, elementBytes), viewWords(target, elementBytes)]
  const strides: number[] = []
  let stride = 1
  for (const dimension of shape) {
    strides.push(stride)
    stride *= dimension
  }
  assert(stride === from.length, 'the elements fill the shape')
  const index = shape.map(() => 0)
  let at = 0
  for (let i = 0; i < to.length; i++) {
    to[i] = from[at]
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      index[axis] += 1
      at += strides[axis]
      if (index[axis] < shape[axis]) break
      at -= strides[axis] * shape[axis]
      index[axis] = 0
    }
  }
  return target
}
