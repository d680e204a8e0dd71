/**
 * Plans an attend request: checks it against the table that it reads, and lays out the memory that it needs.
 */
import { assert } from '../core/assert.ts'
import { refuse } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { Settings } from '../core/types.ts'
import { heapBytes, type Metric, queryBytes } from '../kernels/attend.ts'
import { alignUp } from '../layout/cache-lines.ts'
import { rowBytes } from '../layout/table-layout.ts'
import { planBlocks } from '../tables/attend.ts'
import type { VersionHandle } from '../tables/handles.ts'
import { resolvePaddingRow } from '../tables/resolve.ts'
import { planScan, type ScanPlan } from '../workers/dispatch-attend.ts'

/** The scan gets several runners only as long as all their heaps together stay below this size. */
const HEAPS_BYTES_MAX = 64 * 1024 * 1024

/**
 * The plan of an attend request, made before memory is touched. It is plain data; places are byte offsets
 * from the start of the region.
 */
export interface AttendPlan {
  metric: Metric
  queryCount: number
  dim: number
  rows: number
  /**
   * The scan keeps the best `k` rows of each query and skips row `skippedRow` (-1: none). null: the answer
   * has the scores of all rows.
   */
  top: { k: number; skippedRow: number } | null
  /** The shape of the queries without dim, followed by k or rows. */
  shape: number[]
  scan: ScanPlan
  queriesAt: number
  /** Place of the int64 row numbers; it is used only with `top`. */
  indicesAt: number
  scoresAt: number
  /** Number of float32 scores in the answer. */
  scoreCount: number
  /** Runner r has its heaps at runnersAt + r * runnerBytes, followed by its working memory. */
  runnersAt: number
  runnerBytes: number
  heapsBytes: number
  regionBytes: number
}

/**
 * Checks a request against the table that it reads and lays out its memory. A `threadCount` of 0 means that
 * there is no pool.
 */
export const planAttend = (
  handle: VersionHandle,
  settings: Settings,
  request: AttendRequest,
  threadCount: number,
): AttendPlan => {
  const { dim, rows, dtype } = handle
  const { options } = request
  const queryCount = countQueries(request, dim)
  const metric = options.metric ?? 'dot'
  if (options.top_k === undefined && metric !== 'dot') {
    refuse(
      'INVALID_REQUEST',
      `metric ${metric} needs top_k; without it the answer is the dot products with all rows`,
      {
        errors: [{ pointer: '/metric', detail: 'needs top_k' }],
      },
    )
  }
  const top = options.top_k === undefined ? null : planTop(options.top_k, rows, settings.padding_index)
  const width = top?.k ?? rows
  checkSizes(queryCount, dim, rows, width, top === null ? 4 : 12)
  const scoreCount = queryCount * width
  const heapsBytes = top === null ? 0 : alignUp(queryCount * heapBytes(top.k))
  const scan = limitRunners(planScan(rows, rowBytes(dim, dtype), dim, queryCount, threadCount), heapsBytes)
  const runnerBytes = heapsBytes + alignUp(planBlocks(dim).scratchBytes)
  const indicesAt = alignUp(queryCount * queryBytes(dim))
  const scoresAt = indicesAt + (top === null ? 0 : alignUp(scoreCount * 8))
  const runnersAt = scoresAt + alignUp(scoreCount * 4)
  return {
    metric,
    queryCount,
    dim,
    rows,
    top,
    shape: [...request.shape.slice(0, -1), width],
    scan,
    queriesAt: 0,
    indicesAt,
    scoresAt,
    scoreCount,
    runnersAt,
    runnerBytes,
    heapsBytes,
    regionBytes: runnersAt + scan.runnerCount * runnerBytes,
  }
}

const refuseQueries = (code: 'SHAPE_MISMATCH' | 'BATCH_TOO_LARGE', detail: string): never =>
  refuse(code, detail, { errors: [{ pointer: '/queries', detail }] })

const countQueries = ({ queries, shape }: AttendRequest, dim: number): number => {
  if (shape.length === 0) refuseQueries('SHAPE_MISMATCH', 'a query is a list of numbers')
  if (shape.length > LIMITS.arrayRankMax)
    refuseQueries('SHAPE_MISMATCH', `queries have ${shape.length} axes, the limit is ${LIMITS.arrayRankMax}`)
  const last = shape[shape.length - 1]
  if (last !== dim) refuseQueries('SHAPE_MISMATCH', `queries have ${last} numbers each, rows have ${dim}`)
  const count = shape.slice(0, -1).reduce((product, length) => product * length, 1)
  assert(queries.length === count * dim, 'a shape says how many numbers there are')
  return count
}

/** Plans the best rows. The padding row is never one of them, so there may be one fewer than rows. */
const planTop = (topK: number, rows: number, paddingIndex: number | null): AttendPlan['top'] => {
  const row = resolvePaddingRow(paddingIndex, rows)
  const skippedRow = row >= 0 && row < rows ? row : -1
  return { k: Math.min(topK, skippedRow < 0 ? rows : rows - 1), skippedRow }
}

const checkSizes = (
  queryCount: number,
  dim: number,
  rows: number,
  width: number,
  scoreBytes: number,
): void => {
  if (queryCount > LIMITS.attendQueryCountMax)
    refuseQueries(
      'BATCH_TOO_LARGE',
      `${queryCount} queries in one request, the limit is ${LIMITS.attendQueryCountMax}`,
    )
  const answerBytes = queryCount * width * scoreBytes
  if (answerBytes > LIMITS.lookupResponseBytesMax) {
    const advice = scoreBytes === 4 ? '; ask for fewer queries or for top_k' : ''
    refuse(
      'BATCH_TOO_LARGE',
      `the answer would hold ${answerBytes} bytes, the limit is ${LIMITS.lookupResponseBytesMax}${advice}`,
    )
  }
  const terms = queryCount * dim * rows
  if (terms > LIMITS.attendProductCountMax) {
    refuse(
      'BATCH_TOO_LARGE',
      `${queryCount} queries against ${rows} rows of ${dim} are ${terms} products, ` +
        `the limit is ${LIMITS.attendProductCountMax}; ask for fewer queries`,
    )
  }
}

const limitRunners = (scan: ScanPlan, heapsBytes: number): ScanPlan => {
  const fitting = heapsBytes === 0 ? scan.runnerCount : Math.max(1, Math.floor(HEAPS_BYTES_MAX / heapsBytes))
  return { ...scan, runnerCount: Math.min(scan.runnerCount, fitting) }
}

/** Scores that lie in an arena, ready to be written out. */
export interface ScanResult {
  table: string
  version: number
  sequence: number
  shape: readonly number[]
  scoreCount: number
  /** Place of the float32 scores. */
  scoresAt: number
  /** Place of the int64 row numbers of the scores. null: the scores are those of all rows, in row order. */
  top: { indicesAt: number } | null
}

/** An attend request as it was asked, in whatever format. */
export interface AttendRequest {
  /** Row-major and finite; the last axis of `shape` is the dim. */
  queries: Float32Array
  shape: readonly number[]
  options: AttendOptions
}

/** The members beside the queries, in the names of the contract. */
export interface AttendOptions {
  /** Absent: all scores of the table. */
  top_k?: number
  metric?: Metric
}
