import type { IndexArray } from '../tables/resolve.ts'

/** One byte per index: 1 where the id itself is in 0..rows-1 and not the padding row, as Keras' compute_mask for `mask_zero`. */
export const computeMask = (indices: IndexArray, rows: number, paddingRow: number): Uint8Array => {
  const mask = new Uint8Array(indices.length)
  for (let i = 0; i < indices.length; i++) {
    const index = indices[i]
    mask[i] = index >= 0 && index < rows && Number(index) !== paddingRow ? 1 : 0
  }
  return mask
}
