import { assert } from '../core/assert.ts'
import { assertCount, makeBounds } from './bounds.ts'
import { instantiateModule } from './compiled-modules.ts'

/** Rows that are adapted. Addresses are bytes of the arena. */
export interface AdaptedRows {
  /** int32; a row whose id is negative stays as it is. */
  idsAt: number
  count: number
  /** count x rank float32: the rows of the first factor. */
  factorsAt: number
  rank: number
  /** Rounded to float32. */
  scale: number
  /** count x dim float32, packed; what they become takes their place. */
  rowsAt: number
  dim: number
}

/**
 * Low-rank adapters over a memory that holds the second factor, `rank` rows of `dim` float32, and an arena.
 * Every operation is rounded to float32, none is fused; which NaN an operation gives is the processor's
 * choice.
 */
export interface LoraKernels {
  /** row[k] += scale * sum over j of factors[j] * second[j][k], summed from zero in the order of j. */
  addProducts(rows: AdaptedRows): void
}

type Exports = Record<keyof LoraKernels, (...values: number[]) => void>

/** The kernels over two memories of `memories.ts`. */
export const instantiateLoraKernels = (
  second: WebAssembly.Memory,
  arena: WebAssembly.Memory,
): LoraKernels => {
  const exports = instantiateModule<Exports>('lora', { table: second, arena })
  const bounds = makeBounds(second.buffer.byteLength, arena.buffer.byteLength)
  return {
    addProducts({ idsAt, count, factorsAt, rank, scale, rowsAt, dim }) {
      for (const number of [count, rank, dim]) assertCount(number)
      assert(rank > 0 && dim > 0, 'factors have rows and columns')
      bounds.region(idsAt, count * 4)
      bounds.region(factorsAt, count * rank * 4)
      bounds.region(rowsAt, count * dim * 4)
      bounds.elements(0, rank * dim * 4)
      exports.addProducts(idsAt, count, factorsAt, rank, scale, rowsAt, dim)
    },
  }
}
