import { ROWS_AT } from '../../layout/table-layout.ts'
import type { LoraKernels } from '../lora.ts'

/** Creates the reference of the adapter kernel, which computes one number at a time in plain TypeScript. */
export const makeReferenceLoraKernels = (second: ArrayBufferLike, arena: ArrayBufferLike): LoraKernels => ({
  addProducts({ idsAt, count, factorsAt, rank, scale, rowsAt, dim }) {
    const ids = new Int32Array(arena, idsAt, count)
    const factors = new Float32Array(arena, factorsAt, count * rank)
    const rows = new Float32Array(arena, rowsAt, count * dim)
    const columns = new Float32Array(second, ROWS_AT, rank * dim)
    const size = Math.fround(scale)
    for (let i = 0; i < count; i++) {
      if (ids[i] < 0) continue
      for (let k = 0; k < dim; k++) {
        let sum = 0
        for (let j = 0; j < rank; j++)
          sum = Math.fround(sum + Math.fround(factors[i * rank + j] * columns[j * dim + k]))
        rows[i * dim + k] += Math.fround(size * sum)
      }
    }
  },
})
