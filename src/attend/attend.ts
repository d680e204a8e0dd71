/**
 * Answers attend requests: scores queries against every row of a version, on this thread or on compute
 * workers.
 */
import { refuse } from '../core/errors.ts'
import { heapBytes, queryBytes } from '../kernels/attend.ts'
import type { Answer, Encoding } from '../lookup/encode.ts'
import type { LookupServices } from '../lookup/lookup.ts'
import type { Arena, Region } from '../tables/arena.ts'
import { runAttendJob, type ScanJob, type SettleJob } from '../tables/attend.ts'
import type { TableEntry } from '../tables/registry.ts'
import type { TableReader } from '../tables/table-reader.ts'
import { runAttendJobs } from '../workers/dispatch-attend.ts'
import { checkText, encodeScanResult } from './encode.ts'
import { type AttendPlan, type AttendRequest, planAttend } from './plan.ts'

/** A settle job sorts at most this many heap entries, unless a single query has more. */
const SETTLE_ENTRIES_MAX = 2 ** 16

/** An attend request under way. */
interface Attending {
  reader: TableReader
  plan: AttendPlan
  region: Region
}

/**
 * Scores queries against every row of a version: plans, writes the queries into the arena, scans the table in
 * chunks, merges the results of the chunks and encodes them. Returns the answer itself for a small table,
 * otherwise a promise. The answer does not depend on how the table was divided into chunks. Each row is read
 * at the answer's sequence or a later one. `checkWanted` is called before each chunk, and throws when the
 * client no longer waits for the answer.
 */
export const attend = (
  services: LookupServices,
  entry: TableEntry,
  reader: TableReader,
  request: AttendRequest,
  encoding: Encoding,
  checkWanted: () => void,
): Answer | Promise<Answer> => {
  const { arena, pool } = services
  if (entry.adapters.has(reader.handle.version)) {
    refuse(
      'PRECONDITION_FAILED',
      'the table has a LoRA adapter, which attend does not add: merge the adapter or delete it',
    )
  }
  const plan = planAttend(reader.handle, entry.record.settings, request, pool?.threadCount ?? 0)
  if (encoding === 'json') checkText(plan.shape)
  const region = arena.reserve(plan.regionBytes)
  const attending: Attending = { reader, plan, region }
  // Before the rows are read, so that none is older.
  const sequence = reader.readSequence()
  const finish = (): Answer => {
    const top = plan.top === null ? null : { indicesAt: region.at + plan.indicesAt }
    const { shape, scoreCount } = plan
    const result = {
      table: entry.record.name,
      version: reader.handle.version,
      sequence,
      shape,
      scoreCount,
      scoresAt: region.at + plan.scoresAt,
      top,
    }
    return encodeScanResult(services, result, encoding)
  }
  const release = (): void => arena.release(region)
  try {
    prepare(services, attending, request)
    if (!plan.scan.inline && plan.scoreCount > 0)
      return scanInChunks(services, attending, checkWanted).then(finish).finally(release)
    if (plan.scoreCount > 0) scanAtOnce(services, attending)
    const answer = finish()
    release()
    return answer
  } catch (error) {
    release()
    throw error
  }
}

/** Writes the queries into the region and empties the heaps of every runner. */
const prepare = (
  { arena }: LookupServices,
  { plan, region }: Attending,
  { queries }: AttendRequest,
): void => {
  writeQueries(arena, region.at + plan.queriesAt, queries, plan)
  if (plan.top === null) return
  const bytes = heapBytes(plan.top.k)
  for (let runner = 0; runner < plan.scan.runnerCount; runner++) {
    const at = region.at + plan.runnersAt + runner * plan.runnerBytes
    for (let query = 0; query < plan.queryCount; query++) arena.int32[(at + query * bytes) / 4] = 0
  }
}

const makeScanJob = (
  { plan, region }: Attending,
  runner: number,
  firstRow: number,
  rowCount: number,
): ScanJob => {
  const { metric, queryCount, top, rows } = plan
  const heapsAt = region.at + plan.runnersAt + runner * plan.runnerBytes
  return {
    kind: 'scan',
    metric,
    firstRow,
    rowCount,
    queriesAt: region.at + plan.queriesAt,
    queryCount,
    out: top === null ? { scoresAt: region.at + plan.scoresAt, stride: rows } : null,
    top: top === null ? null : { heapsAt, capacity: top.k, skippedRow: top.skippedRow },
    scratchAt: heapsAt + plan.heapsBytes,
  }
}

const makeSettleJob = (
  { plan, region }: Attending,
  k: number,
  query: number,
  queryCount: number,
): SettleJob => ({
  kind: 'settle',
  metric: plan.metric,
  heapsAt: region.at + plan.runnersAt + query * heapBytes(k),
  setCount: plan.scan.runnerCount,
  setBytes: plan.runnerBytes,
  queryCount,
  capacity: k,
  indicesAt: region.at + plan.indicesAt + query * k * 8,
  scoresAt: region.at + plan.scoresAt + query * k * 4,
})

const scanAtOnce = ({ arena }: LookupServices, attending: Attending): void => {
  const { reader, plan } = attending
  runAttendJob(reader, arena.memory, makeScanJob(attending, 0, 0, plan.rows))
  if (plan.top !== null)
    runAttendJob(reader, arena.memory, makeSettleJob(attending, plan.top.k, 0, plan.queryCount))
}

/**
 * Scans the table in chunks on all runners. A runner takes the next chunk when it has finished one, so it
 * meets its chunks in ascending order, which its heaps require.
 */
const scanInChunks = async (
  { arena, pool }: LookupServices,
  attending: Attending,
  checkWanted: () => void,
): Promise<void> => {
  const { reader, plan } = attending
  const { rows, top, queryCount, scan } = plan
  const work = { reader, arena, pool, runnerCount: scan.runnerCount, checkWanted }
  reader.pin()
  try {
    let row = 0
    await runAttendJobs(work, (runner) => {
      if (row >= rows) return null
      const firstRow = row
      row += scan.chunkRows
      return makeScanJob(attending, runner, firstRow, Math.min(scan.chunkRows, rows - firstRow))
    })
    if (top === null) return
    const queriesPerJob = Math.max(1, Math.floor(SETTLE_ENTRIES_MAX / (top.k * scan.runnerCount)))
    let query = 0
    await runAttendJobs(work, () => {
      if (query >= queryCount) return null
      const first = query
      query += queriesPerJob
      return makeSettleJob(attending, top.k, first, Math.min(queriesPerJob, queryCount - first))
    })
  } finally {
    reader.unpin()
  }
}

/**
 * Writes queries in the layout of the kernels: padded with zeros to a multiple of four numbers and, for
 * cosine, divided by their length. The length is computed in float64, so that neither a tiny nor a huge query
 * loses precision. A query of length zero stays zero, and its cosines are 0.
 */
export const writeQueries = (
  arena: Arena,
  at: number,
  queries: Float32Array,
  { metric, dim, queryCount }: AttendPlan,
): void => {
  const stride = queryBytes(dim) / 4
  const target = arena.float32.subarray(at / 4, at / 4 + queryCount * stride)
  for (let query = 0; query < queryCount; query++) {
    const source = queries.subarray(query * dim, (query + 1) * dim)
    const divisor = metric === 'cosine' ? measureLength(source) || 1 : 1
    for (let k = 0; k < stride; k++) target[query * stride + k] = k < dim ? source[k] / divisor : 0
  }
}

const measureLength = (values: Float32Array): number => {
  let sum = 0
  for (let k = 0; k < values.length; k++) sum += values[k] * values[k]
  return Math.sqrt(sum)
}
