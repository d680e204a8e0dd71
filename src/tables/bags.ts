import { assert } from '../core/assert.ts'
import { LIMITS } from '../core/limits.ts'
import { type BagKernels, type BagOperation, type Bags, instantiateBagKernels } from '../kernels/bag.ts'
import { gatherRows } from './gather.ts'
import type { TableReader } from './table-reader.ts'

/**
 * The members that are pooled, and the place of the results. Addresses are bytes of the arena; the members
 * are resolved rows, as in a gather.
 */
export interface BagJob {
  kind: 'bags'
  operation: BagOperation
  bagCount: number
  /** bagCount + 1 ascending int32; they count from `idsAt` and `weightsAt`. */
  offsetsAt: number
  /** int32; FILL_ROW takes the float32 row at `fillAt`. */
  idsAt: number
  /** float32, or 0: all weigh one. */
  weightsAt: number
  fillAt: number
  /** bagCount rows of float32, packed. */
  outAt: number
  /** BAG_SCRATCH_BYTES of the job's own. */
  scratchAt: number
}

/** At least one row, and few enough that they stay in cache until they are pooled. */
export const BAG_SCRATCH_BYTES = 256 * 1024
assert(BAG_SCRATCH_BYTES >= LIMITS.dimMax * 4, 'the scratch holds a row')

/**
 * Pools rows of a table that the writer may be writing to, so that no half-written row is in any bag. The
 * usual case is two loads of the lock word around one pass over the table. When it moved, and for tables of
 * several segments, whose rows meet in one bag, the members' rows are gathered first, some at a time. Refuses
 * OVERLOADED when a row stays busy longer than a writer ever takes.
 */
export const poolRows = (reader: TableReader, arena: WebAssembly.Memory, job: BagJob): void => {
  const kernels = kernelsOf(reader, arena)
  if (poolWhole(reader, kernels, job)) return
  const blocks = poolInBlocks(reader, arena, job)
  while (blocks.next().done !== true) continue
}

const instances = new WeakMap<WebAssembly.Memory, WeakMap<TableReader, BagKernels>>()

/** The kernels of the first segment, made once per arena: tables that are only looked up need none. */
const kernelsOf = (reader: TableReader, arena: WebAssembly.Memory): BagKernels => {
  const ofArena = instances.get(arena) ?? new WeakMap<TableReader, BagKernels>()
  instances.set(arena, ofArena)
  const kernels = ofArena.get(reader) ?? instantiateBagKernels(reader.handle.segments[0].memory, arena)
  ofArena.set(reader, kernels)
  return kernels
}

const bagsOf = (reader: TableReader, { operation, bagCount, offsetsAt, weightsAt, outAt }: BagJob): Bags => {
  return { operation, dim: reader.handle.dim, bagCount, offsetsAt, weightsAt, outAt }
}

/** False: there are other segments, or the writer wrote meanwhile, twice. */
const poolWhole = (reader: TableReader, kernels: BagKernels, job: BagJob): boolean => {
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

/** A change to the rows of a block before they are pooled. */
export interface BlockChange {
  rowsMax: number
  change: (rows: Pick<BagJob, 'idsAt'> & { count: number; rowsAt: number }) => void
}

/**
 * Pools rows that are gathered first, and changed if `change` is there, in blocks; it gives a value between
 * two of them.
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
    // A bag that goes on behind the block is met again.
    bag = offsets[bagEnd] > end ? bagEnd - 1 : bagEnd
    if (bag < bagCount) yield
  }
}
