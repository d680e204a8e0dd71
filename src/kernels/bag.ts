/** The kernels that pool bags of rows into one row each. */
import { assert } from '../core/assert.ts'
import type { Dtype, Pooling } from '../core/types.ts'
import { rowBytes } from '../layout/table-layout.ts'
import { assertCount, type Bounds, makeBounds } from './bounds.ts'
import { OPERATION_CODES } from './codes.ts'
import { instantiateModule } from './compiled-modules.ts'

/** The operation that reduces the rows of a bag to one row. */
export type BagOperation = Exclude<Pooling, 'none'>

/**
 * Bags in an arena. Bag b has the members offsets[b]..offsets[b+1]-1, each of which is a row and a weight.
 * Addresses are bytes of the arena.
 */
export interface Bags {
  operation: BagOperation
  dim: number
  bagCount: number
  /** The offsets: bagCount + 1 ascending int32. */
  offsetsAt: number
  /** The float32 weight of each member, or 0 if all weights are one. */
  weightsAt: number
  /** The results: bagCount rows of dim float32, packed. */
  outAt: number
}

/** Members whose rows are in a table memory. */
export interface TableMembers {
  dtype: Dtype
  /** The row number of member m is the int32 at idsAt + 4m. */
  idsAt: number
  /** The float32 row for members whose row is not in the memory. */
  fillAt: number
  firstRow: number
  rowCount: number
}

/**
 * Pools the members of one table memory and one arena in their order, and rounds every operation to float32:
 * p = weight * element (without weights: the element), sum = sum + p from zero, then one division by the
 * count or the sum of the weights (mean), or by the root of the count or of the sum of their squares (sqrtn),
 * which are summed the same way. A divisor of zero gives zeros. max takes no weights: the first element stays
 * unless a later one is greater (strict `>`). An empty bag gives zeros; every NaN is 7FC00000. int8 elements
 * have the values that `gather` returns.
 */
export interface BagKernels {
  /**
   * Pools whole bags and reads every row once. Ends with a fence, so that a lock word loaded afterwards is
   * loaded after the rows.
   */
  pool(bags: Bags, members: TableMembers): void
  /**
   * Pools the part of the bags that is members `first`..`last`-1, whose rows are packed at `rowsAt` as
   * float32. A bag is started at its first member and finished after its last, so that consecutive parts add
   * up to whole bags. Empty bags are finished at once.
   */
  poolPacked(bags: Bags, rowsAt: number, first: number, last: number): void
}

/**
 * Block touch as in table.ts: before the next rows are added, the kernel loads one byte of every cache line
 * of this many bytes of rows, which stay in the L2 cache until then. The misses of float32 rows of one cache
 * line overlap without it. bag.as.ts defines the order of the touches.
 */
const TOUCH_BYTES = 131_072
const TOUCH_MEMBERS_MIN = 8
const TOUCH_MEMBERS_MAX = 512
const TOUCH_FREE_BYTES = 64
/**
 * Blocks of longer rows are smaller, because each group of 32 columns passes over all rows of the block
 * again.
 */
const LONG_ROW_BYTES = 1024
const TOUCH_BYTES_LONG = 32_768

const POOLS = {
  float32: 'poolFloat32',
  float16: 'poolFloat16',
  bfloat16: 'poolBfloat16',
  int8: 'poolInt8',
} as const

type Exports = Record<(typeof POOLS)[Dtype] | 'poolPacked', (...values: number[]) => void>

const planTouch = (dtype: Dtype, bytes: number): number => {
  if (bytes === 0 || (dtype === 'float32' && bytes <= TOUCH_FREE_BYTES)) return 0
  const blockBytes = bytes > LONG_ROW_BYTES ? TOUCH_BYTES_LONG : TOUCH_BYTES
  return Math.max(TOUCH_MEMBERS_MIN, Math.min(TOUCH_MEMBERS_MAX, Math.floor(blockBytes / bytes)))
}

/**
 * Asserts in O(1) that the regions lie within the arena; the caller guarantees that the offsets ascend.
 * Returns the first and the last offset.
 */
const checkBags = (bags: Bags, bounds: Bounds, arena: DataView): { first: number; last: number } => {
  const { operation, dim, bagCount, offsetsAt, weightsAt, outAt } = bags
  assertCount(bagCount)
  bounds.region(offsetsAt, (bagCount + 1) * 4)
  const first = arena.getInt32(offsetsAt, true)
  const last = arena.getInt32(offsetsAt + bagCount * 4, true)
  assert(0 <= first && first <= last, 'offsets ascend from zero')
  assert(weightsAt === 0 || operation !== 'max', 'max takes no weights')
  if (weightsAt !== 0) bounds.region(weightsAt, last * 4)
  bounds.region(outAt, bagCount * dim * 4)
  return { first, last }
}

/** Instantiates the kernels over two memories of `memories.ts`. */
export const instantiateBagKernels = (table: WebAssembly.Memory, arena: WebAssembly.Memory): BagKernels => {
  const exports = instantiateModule<Exports>('bag', { table, arena })
  const bounds = makeBounds(table.buffer.byteLength, arena.buffer.byteLength)
  const view = new DataView(arena.buffer)
  return {
    pool(bags, { dtype, idsAt, fillAt, firstRow, rowCount }) {
      const { operation, dim, bagCount, offsetsAt, weightsAt, outAt } = bags
      const bytes = rowBytes(dim, dtype)
      const { last } = checkBags(bags, bounds, view)
      bounds.region(idsAt, last * 4)
      bounds.region(fillAt, dim * 4)
      bounds.segment(firstRow, rowCount, bytes)
      const code = OPERATION_CODES[operation]
      const touch = planTouch(dtype, bytes)
      exports[POOLS[dtype]](
        code,
        idsAt,
        weightsAt,
        offsetsAt,
        bagCount,
        outAt,
        fillAt,
        firstRow,
        rowCount,
        dim,
        touch,
      )
    },
    poolPacked(bags, rowsAt, first, last) {
      const { operation, dim, bagCount, offsetsAt, weightsAt, outAt } = bags
      checkBags(bags, bounds, view)
      assertCount(first)
      assertCount(last)
      assert(first <= last, 'the first member does not come after the last')
      bounds.region(rowsAt, (last - first) * dim * 4)
      exports.poolPacked(
        OPERATION_CODES[operation],
        rowsAt,
        weightsAt,
        offsetsAt,
        bagCount,
        first,
        last,
        outAt,
        dim,
      )
    },
  }
}
