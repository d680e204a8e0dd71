/** Pools the rows of bags. */
import type { TableAdapter } from '../tables/adapter.ts'
import type { Arena, Region } from '../tables/arena.ts'
import type { TableReader } from '../tables/table-reader.ts'
import { dispatchAdaptedBags } from '../workers/dispatch-adapted.ts'
import { dispatchBags } from '../workers/dispatch-bags.ts'
import type { ComputePool } from '../workers/pool.ts'
import type { BagPlan } from './bags.ts'
import type { LookupPlan } from './plan.ts'

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
 * moved up in their order.
 */
export const writeMembers = (bags: BagPlan, paddingRow: number, { ids, offsets, weights }: Members): void => {
  offsets.set(bags.offsets)
  if (bags.weights !== null) weights?.set(bags.weights)
  if (paddingRow < 0) return
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
  writeMembers(bags, paddingRow, {
    ids: arena.int32.subarray(places.idsAt / 4, places.idsAt / 4 + count),
    offsets: arena.int32.subarray(places.offsetsAt / 4, places.offsetsAt / 4 + bags.bagCount + 1),
    weights: weightsAt === 0 ? null : arena.float32.subarray(weightsAt / 4, weightsAt / 4 + count),
  })
  const job = { operation: bags.operation, bagCount: bags.bagCount, weightsAt, ...places }
  return adapter === null
    ? dispatchBags(reader, arena, job, pool)
    : dispatchAdaptedBags(reader, adapter, arena, job)
}
