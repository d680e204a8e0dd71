import { Worker } from 'node:worker_threads'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { heapBytes, instantiateAttendKernels, type Metric, queryBytes } from '../../src/kernels/attend.ts'
import { scoreReference, topReference } from '../../src/kernels/reference/attend.ts'
import { Arena } from '../../src/tables/arena.ts'
import { planBlocks, runAttendJob, type ScanJob } from '../../src/tables/attend.ts'
import { LOCK_AT, STRIPES_AT } from '../../src/layout/table-layout.ts'
import type { TableReader } from '../../src/tables/table-reader.ts'
import { putTable, startTestWriter, type TestWriter } from '../helpers/writer.ts'
import { runsOf } from '../helpers/property-runs.ts'

let service: TestWriter
beforeEach(async () => {
  service = await startTestWriter({ segmentBytesMax: 65_536 })
})
afterEach(() => service.close())

const putRows = async (rows: number, dim: number, values: ArrayLike<number>): Promise<TableReader> => {
  await putTable(service.client, { name: 'words', rows, dim, values })
  return service.client.registry.find('words').current
}

/** Makes a scan that writes the scores of all rows. */
const makeScan = (
  arena: Arena,
  reader: TableReader,
  queries: readonly Float32Array[],
  metric: Metric,
): ScanJob & { scoresAt: number } => {
  const { rows, dim } = reader.handle
  const queriesAt = arena.reserve(queries.length * queryBytes(dim)).at
  const scoresAt = arena.reserve(queries.length * rows * 4).at
  queries.forEach((query, q) => {
    const padded = new Float32Array(queryBytes(dim) / 4)
    padded.set(query)
    arena.float32.set(padded, queriesAt / 4 + q * padded.length)
  })
  const scratchAt = arena.reserve(planBlocks(dim).scratchBytes).at
  const out = { scoresAt, stride: rows }
  return {
    kind: 'scan',
    metric,
    firstRow: 0,
    rowCount: rows,
    queriesAt,
    queryCount: queries.length,
    out,
    top: null,
    scratchAt,
    scoresAt,
  }
}

describe('The blocks of an attend scan', () => {
  test.each([1, 3, 8, 64, 1000, 65_536])(
    'fit rows, scores and scratch memory into the cache for dim %i',
    (dim) => {
      const { blockRows, blockQueries, scoresAt, idsAt, packedAt, scratchBytes } = planBlocks(dim)
      expect(blockRows % 4).toBe(0)
      expect(blockRows * dim * 4).toBeLessThanOrEqual(Math.max(128 * 1024, 4 * dim * 4))
      expect(blockQueries).toBeGreaterThanOrEqual(2)
      expect(idsAt - scoresAt).toBeGreaterThanOrEqual(blockRows * blockQueries * 4)
      expect(packedAt - idsAt).toBe(blockRows * 4)
      expect(scratchBytes - packedAt).toBeGreaterThanOrEqual(blockRows * dim * 4)
    },
  )
})

describe('An attend scan', () => {
  test('scores every row of every segment, in chunks as at once', async () => {
    const [rows, dim] = [4400, 10]
    const values = Float32Array.from({ length: rows * dim }, (_, i) => Math.sin(i))
    const reader = await putRows(rows, dim, values)
    expect(reader.handle.segments.length).toBeGreaterThan(3)
    const queries = Array.from({ length: 12 }, (_, q) =>
      Float32Array.from({ length: dim }, (_unused, k) => Math.cos(q * dim + k)),
    )
    const arena = new Arena(32 * 1024 * 1024)
    for (const metric of ['dot', 'cosine', 'l2'] as const) {
      const { scoresAt, ...job } = makeScan(arena, reader, queries, metric)
      const scores = arena.float32.subarray(scoresAt / 4, scoresAt / 4 + queries.length * rows)
      const expected = Float32Array.from(scores, (_, i) => {
        const row = i % rows
        return scoreReference(
          metric,
          queries[Math.floor(i / rows)],
          values.subarray(row * dim, (row + 1) * dim),
        )
      })
      for (const chunkRows of [rows, 700]) {
        scores.fill(NaN)
        for (let firstRow = 0; firstRow < rows; firstRow += chunkRows) {
          runAttendJob(reader, arena.memory, {
            ...job,
            firstRow,
            rowCount: Math.min(chunkRows, rows - firstRow),
          })
        }
        expect(
          Buffer.compare(Buffer.from(scores.slice().buffer), Buffer.from(expected.buffer)),
          `${metric} ${chunkRows}`,
        ).toBe(0)
      }
    }
  })

  test('finds the top k of each query for any chunks', async () => {
    const [rows, dim] = [300, 3]
    const values = Float32Array.from({ length: rows * dim }, (_, i) => (i * 7919) % 5)
    const reader = await putRows(rows, dim, values)
    const queries = [Float32Array.of(1, 0, -1), Float32Array.of(0, 2, 1), Float32Array.of(0, 0, 0)]
    const property = fc.property(
      fc.constantFrom<Metric>('dot', 'l2'),
      fc.integer({ min: 1, max: rows - 1 }),
      fc.integer({ min: 1, max: rows }),
      fc.integer({ min: -1, max: rows - 1 }),
      (metric, capacity, chunkRows, skippedRow) => {
        const arena = new Arena(4 * 1024 * 1024)
        const { scoresAt, ...scan } = makeScan(arena, reader, queries, metric)
        const heapsAt = arena.reserve(queries.length * heapBytes(capacity)).at
        arena.bytes.fill(0, heapsAt, heapsAt + queries.length * heapBytes(capacity))
        const job: ScanJob = { ...scan, out: null, top: { heapsAt, capacity, skippedRow } }
        for (let firstRow = 0; firstRow < rows; firstRow += chunkRows) {
          runAttendJob(reader, arena.memory, {
            ...job,
            firstRow,
            rowCount: Math.min(chunkRows, rows - firstRow),
          })
        }
        const indicesAt = arena.reserve(queries.length * capacity * 8).at
        const sets = { setCount: 1, setBytes: 0, heapsAt, queryCount: queries.length, capacity }
        runAttendJob(reader, arena.memory, { kind: 'settle', metric, ...sets, indicesAt, scoresAt })
        queries.forEach((query, q) => {
          const all = Float32Array.from({ length: rows }, (_, row) =>
            scoreReference(metric, query, values.subarray(row * dim, (row + 1) * dim)),
          )
          const expected = topReference(metric, all, capacity, skippedRow)
          const at = indicesAt / 4 + q * capacity * 2
          expect(Array.from({ length: capacity }, (_, i) => arena.int32[at + 2 * i])).toEqual(
            expected.indices,
          )
          expect(
            Array.from(
              arena.float32.subarray(scoresAt / 4 + q * capacity, scoresAt / 4 + (q + 1) * capacity),
            ),
          ).toEqual(expected.scores)
        })
      },
    )
    fc.assert(property, { numRuns: runsOf({ quick: 10, long: 60 }) })
  })
})

const HOT_ROWS = 16
const DIM = 512

describe('While a writer changes hot rows', () => {
  const startTestWriter = async (reader: TableReader): Promise<Worker> => {
    const writer = new Worker(new URL('../helpers/row-writer.ts', import.meta.url), {
      workerData: { handle: reader.handle, hotRows: HOT_ROWS },
    })
    await new Promise((resolve) => writer.once('message', resolve))
    return writer
  }

  /**
   * With this query a row of equal numbers has exactly the score 0, and a torn row, which changes within
   * eight columns, has another.
   */
  const query = Float32Array.from({ length: DIM }, (_, k) => (k & 4 ? -1 : 1))

  test('no torn row is scored, and without the check some are', async () => {
    const reader = await putRows(HOT_ROWS, DIM, new Float32Array(HOT_ROWS * DIM))
    const arena = new Arena(4 * 1024 * 1024)
    const { scoresAt, ...job } = makeScan(arena, reader, [query], 'dot')
    const kernels = instantiateAttendKernels(reader.handle.segments[0].memory, arena.memory)
    const countTorn = (read: () => void, times: number, until: number): number => {
      let torn = 0
      for (let i = 0; i < times && torn < until; i++) {
        read()
        torn += arena.float32
          .subarray(scoresAt / 4, scoresAt / 4 + HOT_ROWS)
          .filter((score) => score !== 0).length
      }
      return torn
    }
    const writer = await startTestWriter(reader)
    try {
      expect(countTorn(() => runAttendJob(reader, arena.memory, job), 5_000, 1)).toBe(0)
      const scoreUnchecked = () =>
        kernels.score('dot', 'float32', 0, HOT_ROWS, job.queriesAt, 1, DIM, scoresAt, HOT_ROWS)
      expect(countTorn(scoreUnchecked, 1_000_000, 1)).toBeGreaterThan(0)
    } finally {
      await writer.terminate()
    }
  })

  test('a dead writer makes scans of its half-written row OVERLOADED, and no others', async () => {
    const reader = await putRows(4, 2, [1, 1, 2, 2, 3, 3, 4, 4])
    const arena = new Arena(1024 * 1024)
    const { scoresAt, ...job } = makeScan(arena, reader, [Float32Array.of(1, 1)], 'dot')
    const words = new Int32Array(reader.handle.segments[0].memory.buffer)
    words[LOCK_AT / 4] = 1
    runAttendJob(reader, arena.memory, job)
    expect(Array.from(arena.float32.subarray(scoresAt / 4, scoresAt / 4 + 4))).toEqual([2, 4, 6, 8])
    words[STRIPES_AT / 4 + 2] = 1
    expect(() => runAttendJob(reader, arena.memory, job)).toThrowError(
      expect.objectContaining({ code: 'OVERLOADED' }),
    )
    expect(() => runAttendJob(reader, arena.memory, { ...job, rowCount: 2 })).not.toThrow()
  })
})
