/** The jobs of an attend request: scoring queries against rows, and keeping the best rows of each query. */
import { assert } from '../core/assert.ts'
import {
  type AttendKernels,
  heapBytes,
  instantiateAttendKernels,
  type Metric,
  PACKED_SPARE_BYTES,
  queryBytes,
} from '../kernels/attend.ts'
import { gatherRows } from './gather.ts'
import type { TableReader } from './table-reader.ts'

/** Scores queries against rows firstRow..firstRow+rowCount-1 of a table. Addresses are bytes of the arena. */
export interface ScanJob {
  kind: 'scan'
  metric: Metric
  firstRow: number
  rowCount: number
  queriesAt: number
  queryCount: number
  /** The destination of the scores: q * stride + r for query q and row r. null discards them. */
  out: { scoresAt: number; stride: number } | null
  /**
   * Heaps that collect the best scores of each query. Jobs that share heaps run in ascending order of rows.
   * Row `skippedRow` is excluded.
   */
  top: { heapsAt: number; capacity: number; skippedRow: number } | null
  /** Address of `planBlocks(...).scratchBytes` bytes that no other job uses. */
  scratchAt: number
}

/** Merges the heaps of several scans into the best rows of each query; see `AttendKernels.settleTop`. */
export interface SettleJob {
  kind: 'settle'
  metric: Metric
  heapsAt: number
  setCount: number
  setBytes: number
  queryCount: number
  capacity: number
  indicesAt: number
  scoresAt: number
}

export type AttendJob = ScanJob | SettleJob

const BLOCK_BYTES = 128 * 1024
const BLOCK_ROWS_MAX = 4096
const BLOCK_SCORES_BYTES = 64 * 1024
const BLOCK_QUERIES_MAX = 32
/**
 * With more queries than this, the rows of a block are widened to float32 once, in the arena. With fewer, the
 * kernel widens them in registers for each query.
 */
const WIDENED_QUERIES_MAX = 2

/** The plan of a scan: the rows of a block stay in cache while all queries are scored against them. */
export interface BlockPlan {
  blockRows: number
  blockQueries: number
  /** Offsets within the scratch region. */
  scoresAt: number
  idsAt: number
  packedAt: number
  scratchBytes: number
}

/** Plans the blocks of a scan over rows of `dim` numbers. */
export const planBlocks = (dim: number): BlockPlan => {
  const rowsInCache = Math.floor(BLOCK_BYTES / (dim * 4))
  const blockRows = Math.max(4, Math.min(BLOCK_ROWS_MAX, rowsInCache - (rowsInCache % 4)))
  const blockQueries = Math.max(
    2,
    Math.min(BLOCK_QUERIES_MAX, Math.floor(BLOCK_SCORES_BYTES / 4 / blockRows)),
  )
  const idsAt = blockRows * blockQueries * 4
  const packedAt = idsAt + blockRows * 4
  return {
    blockRows,
    blockQueries,
    scoresAt: 0,
    idsAt,
    packedAt,
    scratchBytes: packedAt + blockRows * dim * 4 + PACKED_SPARE_BYTES,
  }
}

/**
 * Runs one job of an attend request. A row that is being written is never scored. Refuses OVERLOADED if a row
 * stays locked longer than any update takes.
 */
export const runAttendJob = (reader: TableReader, arena: WebAssembly.Memory, job: AttendJob): void => {
  if (job.kind === 'settle') settleTop(reader, arena, job)
  else scanRows(reader, arena, job)
}

const instances = new WeakMap<WebAssembly.Memory, WeakMap<TableReader, AttendKernels[]>>()

/** Returns the kernels of each segment, instantiated per arena on first use since many tables need none. */
const kernelsOf = (reader: TableReader, arena: WebAssembly.Memory): AttendKernels[] => {
  const kernelsByVersion = instances.get(arena) ?? new WeakMap<TableReader, AttendKernels[]>()
  instances.set(arena, kernelsByVersion)
  const kernels =
    kernelsByVersion.get(reader) ??
    reader.handle.segments.map(({ memory }) => instantiateAttendKernels(memory, arena))
  kernelsByVersion.set(reader, kernels)
  return kernels
}

const settleTop = (reader: TableReader, arena: WebAssembly.Memory, job: SettleJob): void => {
  const { metric, heapsAt, setCount, setBytes, queryCount, capacity, indicesAt, scoresAt } = job
  const [kernels] = kernelsOf(reader, arena)
  const filled = kernels.settleTop(
    metric,
    heapsAt,
    setCount,
    setBytes,
    queryCount,
    capacity,
    indicesAt,
    scoresAt,
  )
  assert(filled === capacity, 'every query has as many results as it asked for')
}

/** A run of rows within one segment, few enough to stay in cache. */
interface Block {
  reader: TableReader
  arena: WebAssembly.Memory
  kernels: AttendKernels
  job: ScanJob
  plan: BlockPlan
  /** The first row, counted from the start of the table. */
  firstRow: number
  /** The same row, counted from the start of the segment. */
  localRow: number
  rowCount: number
}

const scanRows = (reader: TableReader, arena: WebAssembly.Memory, job: ScanJob): void => {
  const plan = planBlocks(reader.handle.dim)
  const kernels = kernelsOf(reader, arena)
  const end = job.firstRow + job.rowCount
  reader.handle.segments.forEach((segment, i) => {
    const last = Math.min(end, segment.firstRow + segment.rowCount)
    for (
      let firstRow = Math.max(job.firstRow, segment.firstRow);
      firstRow < last;
      firstRow += plan.blockRows
    ) {
      const rowCount = Math.min(plan.blockRows, last - firstRow)
      scanBlock({
        reader,
        arena,
        kernels: kernels[i],
        job,
        plan,
        firstRow,
        localRow: firstRow - segment.firstRow,
        rowCount,
      })
    }
  })
}

/** Scores all queries, some at a time, against one block. */
const scanBlock = (block: Block): void => {
  const { reader, kernels, job, plan, firstRow, rowCount } = block
  const { dim, dtype } = reader.handle
  const { metric, out, top } = job
  let packed = dtype !== 'float32' && job.queryCount > WIDENED_QUERIES_MAX
  if (packed) packRows(block)
  for (let query = 0; query < job.queryCount; query += plan.blockQueries) {
    const queryCount = Math.min(plan.blockQueries, job.queryCount - query)
    const queriesAt = job.queriesAt + query * queryBytes(dim)
    const stride = out?.stride ?? plan.blockRows
    const scoresAt =
      out === null ? job.scratchAt + plan.scoresAt : out.scoresAt + (query * stride + firstRow) * 4
    if (!packed && !tryScoreInPlace(block, queriesAt, queryCount, scoresAt, stride)) {
      packRows(block)
      packed = true
    }
    if (packed)
      kernels.scorePacked(
        metric,
        job.scratchAt + plan.packedAt,
        rowCount,
        queriesAt,
        queryCount,
        dim,
        scoresAt,
        stride,
      )
    if (top === null) continue
    const heapsAt = top.heapsAt + query * heapBytes(top.capacity)
    kernels.offerScores(
      metric,
      scoresAt,
      stride,
      rowCount,
      queryCount,
      firstRow,
      top.skippedRow,
      heapsAt,
      top.capacity,
    )
  }
}

/** Scores rows in the table memory. Returns false if rows may be half written, after two attempts. */
const tryScoreInPlace = (
  block: Block,
  queriesAt: number,
  queryCount: number,
  scoresAt: number,
  stride: number,
): boolean => {
  const { reader, kernels, job, localRow, rowCount } = block
  const { dim, dtype } = reader.handle
  for (let attempt = 0; attempt < 2; attempt++) {
    const lock = reader.readLock()
    if (lock & 1) return false
    kernels.score(job.metric, dtype, localRow, rowCount, queriesAt, queryCount, dim, scoresAt, stride)
    if (reader.readLock() === lock) return true
  }
  return false
}

/** Copies the rows of the block into the scratch as float32; the gather guarantees that each is whole. */
const packRows = ({ reader, arena, job, plan, firstRow, rowCount }: Block): void => {
  const idsAt = job.scratchAt + plan.idsAt
  const ids = new Int32Array(arena.buffer, idsAt, rowCount)
  for (let i = 0; i < rowCount; i++) ids[i] = firstRow + i
  gatherRows(reader, arena, {
    format: 'float32',
    idsAt,
    count: rowCount,
    outAt: job.scratchAt + plan.packedAt,
    fillAt: 0,
  })
}
