/** A thread that reads rows while a writer changes them, and counts torn ones. */
import { parentPort, workerData } from 'node:worker_threads'
import { GatherdError } from '../../src/core/errors.ts'
import { Arena } from '../../src/tables/arena.ts'
import { type GatherJob, gatherRows, gatherUnchecked } from '../../src/tables/gather.ts'
import type { VersionHandle } from '../../src/tables/handles.ts'
import { TableReader } from '../../src/tables/table-reader.ts'
import { createRandom } from './random.ts'

export interface ReaderData {
  handle: VersionHandle
  hotRows: number
  readCount: number
  seed: number
  /** False reads rows without checking the lock, as a negative control. */
  checks: boolean
}

export interface ReaderResult {
  read: number
  torn: number
  /** The number of batches that were refused because a row stayed busy. */
  busy: number
}

const BATCH_ROWS = 64

const isWhole = (values: Float32Array, at: number, dim: number): boolean => {
  const first = values[at]
  for (let i = at + 1; i < at + dim; i++) if (values[i] !== first) return false
  return true
}

/** Reads rows that a writer fills with one number each. A row with two numbers is torn. */
const readRows = ({ handle, hotRows, readCount, seed, checks }: ReaderData): ReaderResult => {
  const reader = new TableReader(handle)
  const arena = new Arena(4 * 1024 * 1024)
  const random = createRandom(seed)
  const { dim } = handle
  const ids = arena.reserve(BATCH_ROWS * 4)
  const rows = arena.reserve(BATCH_ROWS * dim * 4)
  const result = { read: 0, torn: 0, busy: 0 }
  const read = checks ? gatherRows : gatherUnchecked
  while (result.read < readCount) {
    for (let i = 0; i < BATCH_ROWS; i++) arena.int32[ids.at / 4 + i] = random.below(hotRows)
    const format = random.below(2) === 0 ? 'stored' : 'float32'
    const job: GatherJob = { format, idsAt: ids.at, count: BATCH_ROWS, outAt: rows.at, fillAt: rows.at }
    try {
      read(reader, arena.memory, job)
    } catch (error) {
      // The scheduler stopped the writer in the middle of a row. The read is then refused, because an answer
      // would be torn.
      if (!(error instanceof GatherdError) || error.code !== 'OVERLOADED') throw error
      result.busy++
      continue
    }
    const values = arena.float32
    for (let i = 0; i < BATCH_ROWS; i++) if (!isWhole(values, rows.at / 4 + i * dim, dim)) result.torn++
    result.read += BATCH_ROWS
  }
  return result
}

parentPort?.postMessage(readRows(workerData as ReaderData))
