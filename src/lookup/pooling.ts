/** Pools the rows of bags. */
import type { TableAdapter } from '../tables/adapter.ts'
import type { Arena, Region } from '../tables/arena.ts'
import { FILL_ROW } from '../tables/resolve.ts'
import type { TableReader } from '../tables/table-reader.ts'
import { dispatchAdaptedBags } from '../workers/dispatch-adapted.ts'
import { dispatchBags } from '../workers/dispatch-bags.ts'
import type { ComputePool } from '../workers/pool.ts'
import type { BagPlan } from './bags.ts'
import type { LookupPlan } from './plan.ts'

/**
 * The largest weight of a bag may lie between these: then neither the squares of 65,536 weights overflow, nor
 * those of the weights that count underflow.
 */
const WEIGHT_MIN = 2 ** -16
const WEIGHT_MAX = 2 ** 48
/** Too large weights are brought here, not to one, so that small ones beside them keep their bits. */
const LARGE_EXPONENT = 32

/** The members of bags, in the form that the kernels read. */
export interface Members {
  /** Resolved rows. */
  ids: Int32Array
  offsets: Int32Array
  weights: Float32Array | null
}

/**
 * Writes the offsets and weights of `bags` without the members whose row is `paddingRow` (-1: none is), so
 * that these count neither in a sum nor in a divisor. `ids` already has the resolved rows; the others are
 * moved up in their order. `fillIsNaN` says that a member without a row is NaN.
 */
export const writeMembers = (
  bags: BagPlan,
  paddingRow: number,
  members: Members,
  fillIsNaN = false,
): void => {
  const { ids, offsets, weights } = members
  offsets.set(bags.offsets)
  if (bags.weights !== null) weights?.set(bags.weights)
  if (paddingRow >= 0) removeMembers(bags, paddingRow, members)
  if (bags.operation === 'max' && fillIsNaN) leadWithMissing(ids, offsets)
  if (weights !== null && (bags.operation === 'mean' || bags.operation === 'sqrtn'))
    scaleWeights(weights, offsets)
}

const removeMembers = (bags: BagPlan, paddingRow: number, { ids, offsets, weights }: Members): void => {
  let kept = 0
  for (let bag = 0; bag < bags.bagCount; bag++) {
    offsets[bag] = kept
    for (let m = bags.offsets[bag]; m < bags.offsets[bag + 1]; m++) {
      if (ids[m] === paddingRow) continue
      ids[kept] = ids[m]
      if (weights !== null) weights[kept] = weights[m]
      kept++
    }
  }
  offsets[bags.bagCount] = kept
}

/**
 * Puts a member without a row first in its bag. The maximum of a bag keeps a NaN only where it comes first,
 * but a missing id must show wherever it stands; the member that gives way could not show beside it.
 */
const leadWithMissing = (ids: Int32Array, offsets: Int32Array): void => {
  for (let bag = 0; bag < offsets.length - 1; bag++) {
    const end = offsets[bag + 1]
    for (let m = offsets[bag] + 1; m < end; m++) if (ids[m] === FILL_ROW) ids[offsets[bag]] = FILL_ROW
  }
}

/**
 * Multiplies the weights of a bag by a power of two if they are so large or so small that their squares would
 * leave float32. Mean and sqrtn divide by the weights, so their results depend on no common factor.
 */
const scaleWeights = (weights: Float32Array, offsets: Int32Array): void => {
  for (let bag = 0; bag < offsets.length - 1; bag++) {
    const [begin, end] = [offsets[bag], offsets[bag + 1]]
    let largest = 0
    for (let m = begin; m < end; m++) largest = Math.max(largest, Math.abs(weights[m]))
    if (largest === 0 || (largest >= WEIGHT_MIN && largest <= WEIGHT_MAX)) continue
    const factor = 2 ** ((largest > WEIGHT_MAX ? LARGE_EXPONENT : 0) - Math.floor(Math.log2(largest)))
    for (let m = begin; m < end; m++) weights[m] *= factor
  }
}

/**
 * Pools the resolved ids of `region` into its rows; an adapter is added to each row before. Returns undefined
 * if the work is already done.
 */
export const poolBags = (
  arena: Arena,
  pool: ComputePool | null,
  reader: TableReader,
  adapter: TableAdapter | null,
  plan: LookupPlan & { bags: BagPlan },
  region: Region,
): void | Promise<void> => {
  const { bags, count, paddingRow } = plan
  const at = (offset: number): number => region.at + offset
  const places = {
    idsAt: at(plan.idsAt),
    offsetsAt: at(plan.offsetsAt),
    fillAt: at(plan.fillAt),
    outAt: at(plan.rowsAt),
  }
  const weightsAt = bags.weights === null ? 0 : at(plan.weightsAt)
  const members = {
    ids: arena.int32.subarray(places.idsAt / 4, places.idsAt / 4 + count),
    offsets: arena.int32.subarray(places.offsetsAt / 4, places.offsetsAt / 4 + bags.bagCount + 1),
    weights: weightsAt === 0 ? null : arena.float32.subarray(weightsAt / 4, weightsAt / 4 + count),
  }
  writeMembers(bags, paddingRow, members, plan.mode === 'fill' && Number.isNaN(plan.fillValue))
  const job = { operation: bags.operation, bagCount: bags.bagCount, weightsAt, ...places }
  return adapter === null
    ? dispatchBags(reader, arena, job, pool)
    : dispatchAdaptedBags(reader, adapter, arena, job)
}
