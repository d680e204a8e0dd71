/** The mask of a lookup: which ids named a row. */
import type { ElementType, IndexArray } from '../core/types.ts'
import type { Nesting } from './request.ts'

/** Tells which ids named a row. It is nested like the ids, whether they are pooled or not. */
export interface Mask extends Nesting {
  /** One byte per id, 1 or 0. */
  bytes: Uint8Array
}

/**
 * Computes a mask: 1 where the id is in 0..rows-1 and not the padding row, as Keras' compute_mask for
 * `mask_zero`.
 */
export const computeMask = (
  { indices, shape, lengths }: Nesting & { indices: IndexArray },
  rows: number,
  paddingRow: number,
): Mask => {
  const bytes = new Uint8Array(indices.length)
  for (let i = 0; i < indices.length; i++) {
    const index = indices[i]
    bytes[i] = index >= 0 && index < rows && Number(index) !== paddingRow ? 1 : 0
  }
  return { bytes, shape, lengths }
}

/** Describes a mask as a tensor. That of ragged ids is flat, because a tensor has rows of one length. */
export const describeMask = ({
  bytes,
  shape,
  lengths,
}: Mask): { elementType: ElementType; shape: number[] } => ({
  elementType: 'uint8',
  shape: lengths === undefined ? [...shape] : [bytes.length],
})

/** Prints a mask as nested JSON lists of booleans. */
export const printMask = ({ bytes, shape, lengths }: Mask): string => {
  let words = Array.from(bytes, (one): string => (one === 1 ? 'true' : 'false'))
  if (lengths !== undefined) return printLists(words, lengths)
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const outer = shape.slice(0, axis).reduce((product, size) => product * size, 1)
    const inner = words
    words = Array.from(
      { length: outer },
      (_, i) => `[${inner.slice(i * shape[axis], (i + 1) * shape[axis]).join()}]`,
    )
  }
  return words[0]
}

const printLists = (words: readonly string[], lengths: Int32Array): string => {
  let end = 0
  const lists = Array.from(lengths, (length) => `[${words.slice(end, (end += length)).join()}]`)
  return `[${lists.join()}]`
}
