/**
 * The form of int8 rows in answers. A stored row is dim bytes, then float32 scale and bias; a number is byte
 * * scale + bias. Raw answers contain the rows as they are stored, safetensors three arrays in this order:
 * `scale` and `bias`, of the shape of the ids, and `embeddings`.
 */
import { assert } from '../core/assert.ts'
import type { ElementType } from '../core/types.ts'
import { INT8_SUFFIX_BYTES } from '../layout/table-layout.ts'

const SCALE_BYTES = INT8_SUFFIX_BYTES / 2

/** Returns the shape of rows with their scales and biases; `shape` is that of the bytes alone. */
export const storedShape = (shape: readonly number[]): number[] => [
  ...shape.slice(0, -1),
  shape[shape.length - 1] + INT8_SUFFIX_BYTES,
]

/** Returns the shape of the bytes alone, the reverse of {@link storedShape}. */
export const bytesShape = (shape: readonly number[]): number[] => [
  ...shape.slice(0, -1),
  shape[shape.length - 1] - INT8_SUFFIX_BYTES,
]

/** Describes the arrays of rows whose bytes have this shape. Their names begin with `prefix`. */
export const describeStored = (
  shape: readonly number[],
  prefix = '',
): { name: string; elementType: ElementType; shape: number[] }[] => [
  { name: `${prefix}scale`, elementType: 'float32', shape: shape.slice(0, -1) },
  { name: `${prefix}bias`, elementType: 'float32', shape: shape.slice(0, -1) },
  { name: `${prefix}embeddings`, elementType: 'uint8', shape: [...shape] },
]

/** Splits stored rows of `dim` into the three arrays, which together have as many bytes. */
export const splitStored = (stored: Uint8Array, dim: number, target: Uint8Array): void => {
  const rowBytes = dim + INT8_SUFFIX_BYTES
  const rowCount = stored.length / rowBytes
  assert(Number.isInteger(rowCount) && target.length === stored.length, 'whole rows become as many bytes')
  const source = Buffer.from(stored.buffer, stored.byteOffset, stored.length)
  const biasesAt = rowCount * SCALE_BYTES
  const bytesAt = rowCount * INT8_SUFFIX_BYTES
  for (let row = 0; row < rowCount; row++) {
    const at = row * rowBytes
    source.copy(target, row * SCALE_BYTES, at + dim, at + dim + SCALE_BYTES)
    source.copy(target, biasesAt + row * SCALE_BYTES, at + dim + SCALE_BYTES, at + rowBytes)
    source.copy(target, bytesAt + row * dim, at, at + dim)
  }
}
