/**
 * Memory of the writer's arena for an update: the workspace in which its rows are computed, and its
 * post-images.
 */
import type { CoalescedAt } from '../../kernels/update-source.ts'
import { alignUp } from '../../layout/cache-lines.ts'
import type { Arena, Region } from '../../tables/arena.ts'
import type { OptimizerState } from '../lifecycle/optimizer-state.ts'

/**
 * The places in the writer's arena that an update uses while its rows are computed. They are byte addresses
 * on cache lines.
 */
export interface UpdateWorkspace {
  /** The distinct rows, and the positions at which the update names them. */
  found: CoalescedAt
  /** Place of the gradients of a block of rows. */
  gradientsAt: number
  /** Place of the copied arrays, if they are not in an update source. */
  copiedAt: number
  region: Region
}

/** The new rows of an update, which stay reserved until they are visible. */
export interface PostImages {
  /** Place of the numbers of the distinct rows, int32. */
  idsAt: number
  /** Place of the rows as float32. The last step converts them to the storage dtype in place. */
  rowsAt: number
  /** Place of their state. */
  stateAt: number
  region: Region
}

/**
 * Reserves the workspace of an update of `count` indices. The caller releases it as one region. Refuses
 * OVERLOADED.
 */
export const reserveWorkspace = (
  arena: Arena,
  count: number,
  gradientBytes: number,
  copiedBytes: number,
): UpdateWorkspace => {
  // The hash table is at most a quarter full, because each further probe is a mispredicted branch.
  const capacity = 2 ** (34 - Math.clz32(count - 1))
  const listBytes = alignUp(count * 4)
  const slotBytes = alignUp(capacity * 4)
  const region = arena.reserve(slotBytes + 4 * listBytes + alignUp(gradientBytes) + copiedBytes)
  const slotsAt = region.at
  const rowsAt = slotsAt + slotBytes
  const [firstsAt, lastsAt, nextsAt] = [rowsAt + listBytes, rowsAt + 2 * listBytes, rowsAt + 3 * listBytes]
  const gradientsAt = rowsAt + 4 * listBytes
  return {
    found: { slotsAt, capacity, rowsAt, firstsAt, lastsAt, nextsAt },
    gradientsAt,
    copiedAt: gradientsAt + alignUp(gradientBytes),
    region,
  }
}

/**
 * Reserves the post-images of `count` distinct rows, and copies their row numbers there. The caller releases
 * them as one region. Refuses OVERLOADED.
 */
export const reservePostImages = (
  arena: Arena,
  foundRowsAt: number,
  count: number,
  dim: number,
  state: OptimizerState | null,
): PostImages => {
  const idBytes = alignUp(count * 4)
  const rowBytes = alignUp(count * dim * 4)
  const region = arena.reserve(idBytes + rowBytes + count * (state?.length ?? 0) * 4)
  arena.int32.copyWithin(region.at / 4, foundRowsAt / 4, foundRowsAt / 4 + count)
  return { idsAt: region.at, rowsAt: region.at + idBytes, stateAt: region.at + idBytes + rowBytes, region }
}
