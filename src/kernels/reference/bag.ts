/** The reference of the kernels that pool bags, in plain TypeScript. */
import type { Dtype } from '../../core/types.ts'
import { int8BiasAt, int8ScaleAt, rowBytes, ROWS_AT } from '../../layout/table-layout.ts'
import type { BagKernels, BagOperation, Bags } from '../bag.ts'
import { fromBits, toBits, widenBfloat16, widenFloat16 } from './floats.ts'
import { makeViews, type Views } from './views.ts'

/** Returns element `k` of the row of member `m`, a float32. */
type ReadElement = (m: number, k: number) => number

const readStored = ({ table }: Views, dtype: Dtype, dim: number, at: number, k: number): number => {
  if (dtype === 'float32') return table.getFloat32(at + k * 4, true)
  if (dtype === 'int8')
    return Math.fround(
      table.getUint8(at + k) * table.getFloat32(at + int8ScaleAt(dim), true) +
        table.getFloat32(at + int8BiasAt(dim), true),
    )
  const half = table.getUint16(at + k * 2, true)
  return fromBits(dtype === 'float16' ? widenFloat16(half) : widenBfloat16(half))
}

/** Returns the divisor of a bag. `weights` is null if all weights are one. */
const computeDivisor = (operation: BagOperation, weights: number[] | null, count: number): number => {
  if (operation === 'sum' || operation === 'max') return 1
  const terms = weights?.map((weight) => (operation === 'mean' ? weight : Math.fround(weight * weight)))
  const sum = terms === undefined ? count : terms.reduce((before, term) => Math.fround(before + term), 0)
  return operation === 'mean' ? sum : Math.fround(Math.sqrt(sum))
}

/**
 * Pools one element of one bag: adds members `from`..`end`-1 to `before`, which is undefined at the start of
 * the bag.
 */
const poolElement = (
  operation: BagOperation,
  weightOf: ((m: number) => number) | null,
  read: (m: number) => number,
  from: number,
  end: number,
  before: number | undefined,
): number => {
  let sum = before ?? (operation === 'max' ? read(from) : 0)
  for (let m = from; m < end; m++) {
    const element = read(m)
    if (operation === 'max') sum = element > sum ? element : sum
    else sum = Math.fround(sum + (weightOf === null ? element : Math.fround(weightOf(m) * element)))
  }
  return sum
}

const poolMembers = ({ arena }: Views, bags: Bags, first: number, last: number, read: ReadElement): void => {
  const { operation, dim, bagCount, offsetsAt, weightsAt, outAt } = bags
  const weightOf = weightsAt === 0 ? null : (m: number): number => arena.getFloat32(weightsAt + m * 4, true)
  for (let bag = 0; bag < bagCount; bag++) {
    const begin = arena.getInt32(offsetsAt + bag * 4, true)
    const end = arena.getInt32(offsetsAt + bag * 4 + 4, true)
    const from = Math.max(begin, first)
    const stop = Math.min(end, last)
    const isEmpty = begin === end
    if (from >= stop && !isEmpty) continue
    const weights = weightOf && Array.from({ length: end - begin }, (_, i) => weightOf(begin + i))
    const divisor = computeDivisor(operation, weights, end - begin)
    for (let k = 0; k < dim; k++) {
      const at = outAt + (bag * dim + k) * 4
      const before = from === begin ? undefined : arena.getFloat32(at, true)
      const sum = isEmpty ? 0 : poolElement(operation, weightOf, (m) => read(m, k), from, stop, before)
      const isFinished = !isEmpty && stop === end
      const pooled = isFinished ? (divisor === 0 ? 0 : Math.fround(sum / divisor)) : sum
      arena.setUint32(at, toBits(pooled), true)
    }
  }
}

/**
 * Creates the reference of the bag kernels, which computes one value at a time. A bag that is not finished
 * may contain NaN with other bits than that of the compiled kernels.
 */
export const makeReferenceBagKernels = (table: ArrayBufferLike, arena: ArrayBufferLike): BagKernels => {
  const views = makeViews(table, arena)
  return {
    pool(bags, { dtype, idsAt, fillAt, firstRow, rowCount }) {
      const { dim, bagCount, offsetsAt } = bags
      const read: ReadElement = (m, k) => {
        const local = views.arena.getInt32(idsAt + m * 4, true) - firstRow
        if (local < 0 || local >= rowCount) return views.arena.getFloat32(fillAt + k * 4, true)
        return readStored(views, dtype, dim, ROWS_AT + local * rowBytes(dim, dtype), k)
      }
      poolMembers(
        views,
        bags,
        views.arena.getInt32(offsetsAt, true),
        views.arena.getInt32(offsetsAt + bagCount * 4, true),
        read,
      )
    },
    poolPacked(bags, rowsAt, first, last) {
      const { dim } = bags
      poolMembers(views, bags, first, last, (m, k) =>
        views.arena.getFloat32(rowsAt + ((m - first) * dim + k) * 4, true),
      )
    },
  }
}
