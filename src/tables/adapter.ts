/**
 * Low-rank adapters (LoRA) on the read path: maps an adapter into this thread and adds its product to
 * gathered rows.
 */
import { instantiateLoraKernels, type LoraKernels } from '../kernels/lora.ts'
import { gatherRows } from './gather.ts'
import type { AdapterHandle } from './handles.ts'
import { rowBytes } from '../layout/table-layout.ts'
import { TableReader } from './table-reader.ts'

/** An adapter as mapped by one thread. A caller that uses it across an `await` pins its factors. */
export interface TableAdapter {
  readonly handle: AdapterHandle
  /** The factor A, read like a table. */
  readonly factors: TableReader
  /** The scale of the product: alpha / rank. */
  readonly scale: number
}

/** Maps the shared memories of an adapter into this thread. */
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

/** Returns the bytes of the factors of an adapter: A as stored, B as float32. */
export const adapterBytes = ({ rows, rank, dtype }: AdapterHandle, dim: number): number =>
  rows * rowBytes(rank, dtype) + rank * dim * 4

/** Float32 rows of a version to which an adapter is added. Addresses are bytes of the arena. */
export interface AdaptJob {
  /** The resolved row numbers, int32. Rows of FILL_ROW are left unchanged. */
  idsAt: number
  count: number
  /** The rows: count x dim float32, packed. */
  rowsAt: number
  dim: number
  /** Space for the gathered factors, `rank` float32 for each row of the job (or of one block of it). */
  factorsAt: number
}

/**
 * Adds (alpha / rank) * A[i] . B to each row i, in float32: the products are summed from zero in rank order,
 * then scaled, then added.
 */
export const adaptRows = (adapter: TableAdapter, arena: WebAssembly.Memory, job: AdaptJob): void => {
  const { factors, scale, handle } = adapter
  const { idsAt, count, rowsAt, dim, factorsAt } = job
  gatherRows(factors, arena, { format: 'float32', idsAt, count, outAt: factorsAt, fillAt: 0 })
  kernelsOf(adapter, arena).addProducts({ idsAt, count, factorsAt, rank: handle.rank, scale, rowsAt, dim })
}

const instances = new WeakMap<TableAdapter, WeakMap<WebAssembly.Memory, LoraKernels>>()

/** Returns the kernels of an adapter, which are instantiated once per arena. */
const kernelsOf = (adapter: TableAdapter, arena: WebAssembly.Memory): LoraKernels => {
  const kernelsByArena = instances.get(adapter) ?? new WeakMap<WebAssembly.Memory, LoraKernels>()
  instances.set(adapter, kernelsByArena)
  const kernels = kernelsByArena.get(arena) ?? instantiateLoraKernels(adapter.handle.b, arena)
  kernelsByArena.set(arena, kernels)
  return kernels
}

/**
 * Limits of a block of rows: its factors fit this many bytes, and its arithmetic takes a few milliseconds.
 */
export const FACTOR_SCRATCH_BYTES = 64 * 1024
const BLOCK_TERMS_MAX = 2 ** 22

/** Returns how many rows are adapted at a time, so that their factors fit FACTOR_SCRATCH_BYTES. */
export const adaptedBlockRows = ({ rank }: AdapterHandle, dim: number): number =>
  Math.max(
    1,
    Math.min(Math.floor(FACTOR_SCRATCH_BYTES / (rank * 4)), Math.floor(BLOCK_TERMS_MAX / (rank * dim))),
  )

/** Runs {@link adaptRows} in blocks and yields between them, so that the caller can run other work. */
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
