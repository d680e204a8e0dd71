import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { GatherdError } from '../../src/core/errors.ts'
import { LOCK_AT, STRIPES_AT } from '../../src/layout/table-layout.ts'
import type { ScanJob } from '../../src/tables/attend.ts'
import { planBlocks } from '../../src/tables/attend.ts'
import { Arena } from '../../src/tables/arena.ts'
import { INLINE_BYTES_MAX } from '../../src/workers/dispatch.ts'
import {
  type AttendWork,
  INLINE_TERMS_MAX,
  planScan,
  runAttendJobs,
} from '../../src/workers/dispatch-attend.ts'
import { ComputePool } from '../../src/workers/pool.ts'
import { putTable, startTestWriter, type TestWriter } from '../helpers/writer.ts'

describe('The plan of an attend scan', () => {
  test('runs small scans in the HTTP worker, by bytes and by products', () => {
    expect(planScan(INLINE_BYTES_MAX / 64, 64, 16, 1, 2)).toEqual({
      inline: true,
      chunkRows: INLINE_BYTES_MAX / 64,
      runnerCount: 1,
    })
    expect(planScan(INLINE_BYTES_MAX / 64 + 1, 64, 16, 1, 2).inline).toBe(false)
    expect(planScan(INLINE_TERMS_MAX / 64, 8, 1, 64, 2).inline).toBe(true)
    expect(planScan(INLINE_TERMS_MAX / 64 + 1, 8, 1, 64, 2).inline).toBe(false)
    expect(planScan(0, 64, 16, 1, 2).inline).toBe(true)
  })

  test('gives every thread chunks, and more of them for more queries', () => {
    const few = planScan(1_000_000, 256, 64, 1, 2)
    const many = planScan(1_000_000, 256, 64, 32, 2)
    expect(few.runnerCount).toBe(2)
    expect(few.chunkRows * 256).toBeLessThanOrEqual(32 * 1024 * 1024)
    expect(many.chunkRows).toBeLessThan(few.chunkRows / 4)
  })

  test('has one runner without a pool, and at most one per chunk', () => {
    expect(planScan(1_000_000, 256, 64, 1, 0).runnerCount).toBe(1)
    expect(planScan(140_000, 256, 64, 1, 16).runnerCount).toBe(2)
  })

  test('has chunks of whole tiles for rows and batches of any size', () => {
    expect(planScan(1_000_000, 262_144, 65_536, 4096, 2).chunkRows).toBe(4)
  })
})

describe('The jobs of an attend scan', () => {
  const ROWS = 1000
  const DIM = 4
  let service: TestWriter
  let pool: ComputePool
  let arena: Arena
  beforeEach(async () => {
    service = await startTestWriter()
    pool = new ComputePool(2, 4)
    arena = new Arena(4 * 1024 * 1024)
    await putTable(service.client, {
      name: 'words',
      rows: ROWS,
      dim: DIM,
      values: Float32Array.from({ length: ROWS * DIM }, (_, i) => i % 97),
    })
  })
  afterEach(async () => {
    await service.close()
    await pool.close()
  })

  /** Prepares the jobs of a scan for the scores of the query (1, 1, 1, 1). */
  const prepare = (withPool: boolean, runnerCount = 2) => {
    const reader = service.client.registry.find('words').current
    const queriesAt = arena.reserve(DIM * 4).at
    arena.float32.fill(1, queriesAt / 4, queriesAt / 4 + DIM)
    const scoresAt = arena.reserve(ROWS * 4).at
    const scratches = Array.from(
      { length: runnerCount },
      () => arena.reserve(planBlocks(DIM).scratchBytes).at,
    )
    const out = { scoresAt, stride: ROWS }
    const base = { kind: 'scan' as const, metric: 'dot' as const, queriesAt, queryCount: 1, out, top: null }
    const work: AttendWork = {
      reader,
      arena,
      pool: withPool ? pool : null,
      runnerCount,
      checkWanted: () => {},
    }
    let row = 0
    const nextJob = (runner: number): ScanJob | null => {
      if (row >= ROWS) return null
      const firstRow = row
      row += 70
      return { ...base, firstRow, rowCount: Math.min(70, ROWS - firstRow), scratchAt: scratches[runner] }
    }
    return { work, nextJob, scores: arena.float32.subarray(scoresAt / 4, scoresAt / 4 + ROWS) }
  }

  test.each([true, false])('are all run (with a pool: %s)', async (withPool) => {
    const { work, nextJob, scores } = prepare(withPool, withPool ? 2 : 1)
    await runAttendJobs(work, nextJob)
    const expected = Array.from({ length: ROWS }, (_, row) =>
      [0, 1, 2, 3].reduce((sum, k) => sum + ((row * DIM + k) % 97), 0),
    )
    expect(Array.from(scores)).toEqual(expected)
  })

  test('stop when the deadline has passed', async () => {
    const { work, nextJob } = prepare(true)
    let asked = 0
    const checkWanted = () => {
      if (++asked > 3) throw new GatherdError('DEADLINE_EXCEEDED', 'too late')
    }
    await expect(runAttendJobs({ ...work, checkWanted }, nextJob)).rejects.toMatchObject({
      code: 'DEADLINE_EXCEEDED',
    })
    expect(asked).toBeLessThanOrEqual(5)
    expect(pool.queueDepth).toBe(0)
  })

  test('yield to other tasks between them when there is no pool', async () => {
    const { work, nextJob } = prepare(false, 1)
    let turns = 0
    let running = true
    const count = () => {
      turns++
      if (running) setImmediate(count)
    }
    setImmediate(count)
    await runAttendJobs(work, nextJob)
    running = false
    expect(turns).toBeGreaterThan(10)
  })

  test('are refused as OVERLOADED when the queue of the pool is full', async () => {
    const prepared = Array.from({ length: 4 }, () => prepare(true))
    const results = await Promise.allSettled(
      prepared.map(({ work, nextJob }) => runAttendJobs(work, nextJob)),
    )
    const refused = results
      .filter((result) => result.status === 'rejected')
      .map(({ reason }) => (reason as GatherdError).code)
    expect(refused.length).toBeGreaterThan(0)
    expect(new Set(refused)).toEqual(new Set(['OVERLOADED']))
    const { work, nextJob } = prepare(true)
    await runAttendJobs(work, nextJob)
  })

  test('wait for room in the queue once the first has begun', async () => {
    const { work, nextJob, scores } = prepare(true, 1)
    let full = 0
    const crowded = Object.create(pool, {
      hasRoom: { value: (taskCount: number) => ++full % 3 === 0 && pool.hasRoom(taskCount) },
      admit: { value: (taskCount: number) => pool.admit(taskCount) },
      run: { value: (...parts: Parameters<ComputePool['run']>) => pool.run(...parts) },
    }) as ComputePool
    await runAttendJobs({ ...work, pool: crowded }, nextJob)
    expect(full).toBeGreaterThan(30)
    expect(scores[ROWS - 1]).toBeGreaterThan(0)
  })

  test('are refused with the code that the pool gives', async () => {
    const { work, nextJob } = prepare(true)
    const words = new Int32Array(work.reader.handle.segments[0].memory.buffer)
    // These are the words after a writer died within a row.
    words[LOCK_AT / 4] = 1
    words[STRIPES_AT / 4 + 500] = 1
    await expect(runAttendJobs(work, nextJob)).rejects.toMatchObject({
      code: 'OVERLOADED',
      headers: { 'Retry-After': '1' },
    })
  })
})
