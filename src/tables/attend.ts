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

/** Queries against rows firstRow..firstRow+rowCount-1 of a table. Addresses are bytes of the arena. */
export interface ScanJob {
  kind: 'scan'
  metric: Metric
  firstRow: number
  rowCount: number
  queriesAt: number
  queryCount: number
  /** The place of the scores: that of query q and row r goes to q * stride + r. */
  out: { scoresAt: number; stride: number } | null
  /**
   * The heaps that keep the best; jobs on the same heaps come in ascending order of rows. Row `skippedRow` is
   * left out.
   */
  top: { heapsAt: number; capacity: number; skippedRow: number } | null
  /** `planBlocks(...).scratchBytes` of the job's own. */
  scratchAt: number
}

/** The heaps of several scans become the best of each query; see `AttendKernels.settleTop`. */
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
 * Rows that more queries than this meet are widened to float32 once, in the arena; for fewer, in registers.
 */
const WIDENED_QUERIES_MAX = 2

/** The blocks of a scan: rows that stay in cache while all queries meet them, and queries at a time. */
export interface BlockPlan {
  blockRows: number
  blockQueries: number
  /** Places in the scratch. */
  scoresAt: number
  idsAt: number
  packedAt: number
  scratchBytes: number
}

/** The blocks of a scan of rows of `dim` numbers. */
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
 * Runs a part of an attend request. No row is scored half written. Refuses OVERLOADED when a row stays busy
 * longer than a writer ever takes.
 */
export const runAttendJob = (reader: TableReader, arena: WebAssembly.Memory, job: AttendJob): void => {
  if (job.kind === 'settle') settleTop(reader, arena, job)
  else scanRows(reader, arena, job)
}

const instances = new WeakMap<WebAssembly.Memory, WeakMap<TableReader, AttendKernels[]>>()

/** The kernels of each segment, made once per arena: tables that are only looked up need none. */
const kernelsOf = (reader: TableReader, arena: WebAssembly.Memory): AttendKernels[] => {
  const ofArena = instances.get(arena) ?? new WeakMap<TableReader, AttendKernels[]>()
  instances.set(arena, ofArena)
  const kernels =
    ofArena.get(reader) ?? reader.handle.segments.map(({ memory }) => instantiateAttendKernels(memory, arena))
  ofArena.set(reader, kernels)
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
  assert(filled === capacity, 'every query has found as many rows as it asked for')
}

/** A run of rows within one segment, small enough to stay in cache. */
interface Block {
  reader: TableReader
  arena: WebAssembly.Memory
  kernels: AttendKernels
  job: ScanJob
  plan: BlockPlan
  /** The first row, numbered within the table. */
  firstRow: number
  /** The same row, numbered within the segment. */
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

/** All queries, some at a time, against one block. */
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
    if (!packed && !scoreWhole(block, queriesAt, queryCount, scoresAt, stride)) {
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

/** Scores rows where they lie. False: the writer wrote meanwhile, twice, so that some may be half written. */
const scoreWhole = (
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

/** Copies the rows into the scratch as float32, each as a whole. */
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
