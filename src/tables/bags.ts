/** Pools the rows of bags (sum, mean, sqrtn or max) from a version that the writer may be updating. */
import { assert } from '../core/assert.ts'
import { LIMITS } from '../core/limits.ts'
import { type BagKernels, type BagOperation, type Bags, instantiateBagKernels } from '../kernels/bag.ts'
import { gatherRows } from './gather.ts'
import type { TableReader } from './table-reader.ts'

/**
 * One pooling job: its members and the destination of the results. Addresses are bytes of the arena. Members
 * are resolved row numbers, as in a gather.
 */
export interface BagJob {
  kind: 'bags'
  operation: BagOperation
  bagCount: number
  /** The offsets into the members at `idsAt` and `weightsAt`: bagCount + 1 ascending int32. */
  offsetsAt: number
  /** The members, int32. A member of FILL_ROW uses the float32 row at `fillAt`. */
  idsAt: number
  /** The float32 weight of each member, or 0 if all weights are one. */
  weightsAt: number
  fillAt: number
  /** The results: bagCount rows of float32, packed. */
  outAt: number
  /** Address of BAG_SCRATCH_BYTES bytes that no other job uses. */
  scratchAt: number
}

/**
 * Size of a block of gathered rows: at least one row, and few enough to stay in cache until they are pooled.
 */
export const BAG_SCRATCH_BYTES = 256 * 1024
assert(BAG_SCRATCH_BYTES >= LIMITS.dimMax * 4, 'the scratch holds at least one row')

/**
 * Pools rows of a table that the writer may be updating, without using a half-written row. The common case is
 * one pass over the table between two loads of the lock word. If the lock word changed, or if the table has
 * several segments (a bag may combine rows of any of them), the members' rows are gathered in blocks first.
 * Refuses OVERLOADED if a row stays locked longer than any update takes.
 */
export const poolRows = (reader: TableReader, arena: WebAssembly.Memory, job: BagJob): void => {
  const kernels = kernelsOf(reader, arena)
  if (tryPoolInPlace(reader, kernels, job)) return
  const blocks = poolInBlocks(reader, arena, job)
  while (blocks.next().done !== true) continue
}

const instances = new WeakMap<WebAssembly.Memory, WeakMap<TableReader, BagKernels>>()

/**
 * Returns the kernels of the first segment. They are instantiated per arena on first use, because most tables
 * only serve lookups.
 */
const kernelsOf = (reader: TableReader, arena: WebAssembly.Memory): BagKernels => {
  const kernelsByVersion = instances.get(arena) ?? new WeakMap<TableReader, BagKernels>()
  instances.set(arena, kernelsByVersion)
  const kernels =
    kernelsByVersion.get(reader) ?? instantiateBagKernels(reader.handle.segments[0].memory, arena)
  kernelsByVersion.set(reader, kernels)
  return kernels
}

const bagsOf = (reader: TableReader, { operation, bagCount, offsetsAt, weightsAt, outAt }: BagJob): Bags => {
  return { operation, dim: reader.handle.dim, bagCount, offsetsAt, weightsAt, outAt }
}

/**
 * Pools directly from the table memory. Returns false if there are several segments, or if the writer wrote
 * during both attempts.
 */
const tryPoolInPlace = (reader: TableReader, kernels: BagKernels, job: BagJob): boolean => {
  const { dtype, segments } = reader.handle
  if (segments.length > 1) return false
  const { idsAt, fillAt } = job
  const { firstRow, rowCount } = segments[0]
  for (let attempt = 0; attempt < 2; attempt++) {
    const lock = reader.readLock()
    if (lock & 1) return false
    kernels.pool(bagsOf(reader, job), { dtype, idsAt, fillAt, firstRow, rowCount })
    if (reader.readLock() === lock) return true
  }
  return false
}

/** A transformation of the rows of a block before they are pooled. */
export interface BlockChange {
  rowsMax: number
  change: (rows: Pick<BagJob, 'idsAt'> & { count: number; rowsAt: number }) => void
}

/**
 * Gathers rows in blocks, applies `change` to them if given, and pools them. Yields between blocks, so that
 * the caller can run other work.
 */
export function* poolInBlocks(
  reader: TableReader,
  arena: WebAssembly.Memory,
  job: BagJob,
  change: BlockChange | null = null,
): Generator<void> {
  const { bagCount, offsetsAt, weightsAt, outAt, idsAt, fillAt, scratchAt } = job
  const kernels = kernelsOf(reader, arena)
  const rowBytes = reader.handle.dim * 4
  const blockMembers = Math.min(Math.floor(BAG_SCRATCH_BYTES / rowBytes), change?.rowsMax ?? Infinity)
  const offsets = new Int32Array(arena.buffer, offsetsAt, bagCount + 1)
  const last = offsets[bagCount]
  let bag = 0
  for (let first = offsets[0]; bag < bagCount; first += blockMembers) {
    const end = Math.min(first + blockMembers, last)
    gatherRows(reader, arena, {
      format: 'float32',
      idsAt: idsAt + first * 4,
      count: end - first,
      outAt: scratchAt,
      fillAt,
    })
    change?.change({ idsAt: idsAt + first * 4, count: end - first, rowsAt: scratchAt })
    let bagEnd = bag
    while (bagEnd < bagCount && (end === last || offsets[bagEnd] < end)) bagEnd++
    const places = { offsetsAt: offsetsAt + bag * 4, weightsAt, outAt: outAt + bag * rowBytes }
    kernels.poolPacked({ ...bagsOf(reader, job), ...places, bagCount: bagEnd - bag }, scratchAt, first, end)
    // A bag that continues after this block is resumed with the next one.
    bag = offsets[bagEnd] > end ? bagEnd - 1 : bagEnd
    if (bag < bagCount) yield
  }
}
