/** Reads rows in two threads while a third one writes them, and counts torn rows. */
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { rowBytes } from '../../src/layout/table-layout.ts'
import type { VersionHandle } from '../../src/tables/handles.ts'
import { TableMemory } from '../../src/tables/memory.ts'
import { type Finding, measure } from './report.ts'
import type { ReaderData, ReaderResult } from './torn-reader.ts'

const HOT_ROWS = 16
const READER_COUNT = 2
/** The share of all reads for each length of row. */
const SHARES: readonly { dim: number; share: number }[] = [
  { dim: 8, share: 0.5 },
  { dim: 64, share: 0.3 },
  { dim: 256, share: 0.15 },
  { dim: 1024, share: 0.05 },
]

export interface TornRowsOptions {
  reads: number
  seed: number
  /** False reads rows without checking the lock, as a negative control. */
  checks?: boolean
}

const readAgainstWriter = async (
  dim: number,
  readCount: number,
  seed: number,
  checks: boolean,
): Promise<ReaderResult> => {
  const { segments } = new TableMemory(64 * 1024 * 1024).allocate(HOT_ROWS, rowBytes(dim, 'float32'))
  const handle: VersionHandle = {
    key: 'v1',
    version: 1,
    rows: HOT_ROWS,
    dim,
    dtype: 'float32',
    createdAt: 0,
    segments,
  }
  const writer = new Worker(new URL('../helpers/row-writer.ts', import.meta.url), {
    workerData: { handle, hotRows: HOT_ROWS },
  })
  await once(writer, 'message')
  const sum = { read: 0, torn: 0, busy: 0 }
  try {
    const readers = Array.from({ length: READER_COUNT }, async (_, i) => {
      const workerData: ReaderData = {
        handle,
        hotRows: HOT_ROWS,
        readCount: readCount / READER_COUNT,
        seed: seed + i,
        checks,
      }
      const [result] = (await once(
        new Worker(new URL('torn-reader.ts', import.meta.url), { workerData }),
        'message',
      )) as [ReaderResult]
      sum.read += result.read
      sum.torn += result.torn
      sum.busy += result.busy
    })
    await Promise.all(readers)
  } finally {
    await writer.terminate()
  }
  return sum
}

/** C1 in one process runs two readers and a writer on the same sixteen rows. */
export const runTornRows = ({ reads, seed, checks = true }: TornRowsOptions): Promise<Finding> =>
  measure({ id: 'C1', title: 'torn rows, in process', seed }, async () => {
    const counts: Record<string, number> = { 'refused batches': 0 }
    const violations: string[] = []
    let n = 0
    for (const { dim, share } of SHARES) {
      const { read, torn, busy } = await readAgainstWriter(dim, Math.ceil(reads * share), seed + dim, checks)
      n += read
      counts['refused batches'] += busy
      if (torn > 0) violations.push(`${torn} of ${read} rows of ${dim} numbers were torn`)
    }
    return { n, violations, counts }
  })
