/** The kernel that adds low-rank adapters to rows. */
import { assert } from '../core/assert.ts'
import { assertCount, makeBounds } from './bounds.ts'
import { instantiateModule } from './compiled-modules.ts'

/** The rows to which an adapter is added. Addresses are bytes of the arena. */
export interface AdaptedRows {
  /** The ids, int32. A row with a negative id is left unchanged. */
  idsAt: number
  count: number
  /** The rows of the first factor: count x rank float32. */
  factorsAt: number
  rank: number
  /** The scale of the product, which is rounded to float32. */
  scale: number
  /** The rows, count x dim float32, packed. The results replace them. */
  rowsAt: number
  dim: number
}

/**
 * Adds low-rank adapters, with the second factor (`rank` rows of `dim` float32) in a table memory and
 * everything else in an arena. Every operation rounds to float32 and none is fused; the bits of a NaN depend
 * on the processor.
 */
export interface LoraKernels {
  /**
   * Adds the products: row[k] += scale * sum over j of factors[j] * second[j][k], summed from zero in the
   * order of j.
   */
  addProducts(rows: AdaptedRows): void
}

type Exports = Record<keyof LoraKernels, (...values: number[]) => void>

/** Instantiates the kernel over two memories of `memories.ts`. */
export const instantiateLoraKernels = (
  second: WebAssembly.Memory,
  arena: WebAssembly.Memory,
): LoraKernels => {
  const exports = instantiateModule<Exports>('lora', { table: second, arena })
  const bounds = makeBounds(second.buffer.byteLength, arena.buffer.byteLength)
  return {
    addProducts({ idsAt, count, factorsAt, rank, scale, rowsAt, dim }) {
      for (const size of [count, rank, dim]) assertCount(size)
      assert(rank > 0 && dim > 0, 'factors have rows and columns')
      bounds.region(idsAt, count * 4)
      bounds.region(factorsAt, count * rank * 4)
      bounds.region(rowsAt, count * dim * 4)
      bounds.elements(0, rank * dim * 4)
      exports.addProducts(idsAt, count, factorsAt, rank, scale, rowsAt, dim)
    },
  }
}
