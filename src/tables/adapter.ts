import { instantiateLoraKernels, type LoraKernels } from '../kernels/lora.ts'
import { gatherRows } from './gather.ts'
import type { AdapterHandle } from './handles.ts'
import { rowBytes } from '../layout/table-layout.ts'
import { TableReader } from './table-reader.ts'

/** An adapter as one thread sees it. A caller that reads it across an `await` pins its factors. */
export interface TableAdapter {
  readonly handle: AdapterHandle
  /** A, as a table of its own. */
  readonly factors: TableReader
  /** alpha / rank. */
  readonly scale: number
}

/** Maps an adapter. */
export const openAdapter = (handle: AdapterHandle): TableAdapter => {
  const { key, version, rows, rank, alpha, dtype, attachedAt, a } = handle
  const factors = new TableReader({
    key,
    version,
    rows,
    dim: rank,
    dtype,
    createdAt: attachedAt,
    segments: a,
  })
  return { handle, factors, scale: alpha / rank }
}

/** Bytes of the numbers of an adapter: A as stored, B as float32. */
export const adapterBytes = ({ rows, rank, dtype }: AdapterHandle, dim: number): number =>
  rows * rowBytes(rank, dtype) + rank * dim * 4

/** Float32 rows of a version that are to be adapted. Addresses are bytes of the arena. */
export interface AdaptJob {
  /** Resolved rows, int32; those of FILL_ROW stay as they are. */
  idsAt: number
  count: number
  /** count x dim float32, packed. */
  rowsAt: number
  dim: number
  /** Room for the factors of all rows, or of a block: rank float32 each. */
  factorsAt: number
}

/**
 * Adds to each row (alpha / rank) * A[i] . B, in float32: products summed from zero in the order of the rank,
 * scaled, added.
 */
export const adaptRows = (adapter: TableAdapter, arena: WebAssembly.Memory, job: AdaptJob): void => {
  const { factors, scale, handle } = adapter
  const { idsAt, count, rowsAt, dim, factorsAt } = job
  gatherRows(factors, arena, { format: 'float32', idsAt, count, outAt: factorsAt, fillAt: 0 })
  kernelsOf(adapter, arena).addProducts({ idsAt, count, factorsAt, rank: handle.rank, scale, rowsAt, dim })
}

const instances = new WeakMap<TableAdapter, WeakMap<WebAssembly.Memory, LoraKernels>>()

/** The kernels are made once per arena. */
const kernelsOf = (adapter: TableAdapter, arena: WebAssembly.Memory): LoraKernels => {
  const ofAdapter = instances.get(adapter) ?? new WeakMap<WebAssembly.Memory, LoraKernels>()
  instances.set(adapter, ofAdapter)
  const kernels = ofAdapter.get(arena) ?? instantiateLoraKernels(adapter.handle.b, arena)
  ofAdapter.set(arena, kernels)
  return kernels
}

/** Limits of a block of rows: its factors fit this scratch, and its arithmetic takes a few milliseconds. */
export const FACTOR_SCRATCH_BYTES = 64 * 1024
const BLOCK_TERMS_MAX = 2 ** 22

/** The number of rows that are adapted at a time, so that their factors fit FACTOR_SCRATCH_BYTES. */
export const adaptedBlockRows = ({ rank }: AdapterHandle, dim: number): number =>
  Math.max(
    1,
    Math.min(Math.floor(FACTOR_SCRATCH_BYTES / (rank * 4)), Math.floor(BLOCK_TERMS_MAX / (rank * dim))),
  )

/** Runs {@link adaptRows} in blocks, and yields between two of them. */
export function* adaptInBlocks(
  adapter: TableAdapter,
  arena: WebAssembly.Memory,
  job: AdaptJob,
): Generator<void> {
  const { idsAt, count, rowsAt, dim } = job
  const blockRows = adaptedBlockRows(adapter.handle, dim)
  for (let first = 0; first < count; first += blockRows) {
    const part = {
      idsAt: idsAt + first * 4,
      count: Math.min(blockRows, count - first),
      rowsAt: rowsAt + first * dim * 4,
    }
    adaptRows(adapter, arena, { ...job, ...part })
    if (first + blockRows < count) yield
  }
}
