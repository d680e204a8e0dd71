import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { makeReferenceBagKernels } from '../../src/kernels/reference/bag.ts'
import { Arena } from '../../src/tables/arena.ts'
import { LOCK_AT, STRIPES_AT } from '../../src/layout/table-layout.ts'
import { INLINE_BYTES_MAX } from '../../src/workers/dispatch.ts'
import { cutBags, dispatchBags } from '../../src/workers/dispatch-bags.ts'
import { ComputePool } from '../../src/workers/pool.ts'
import { putTable, startTestWriter, type TestWriter } from '../helpers/writer.ts'

describe('Bags are split for the pool', () => {
  const cut = (offsets: number[], chunkMembers: number) =>
    cutBags(Int32Array.from(offsets), chunkMembers).map(({ firstBag, bagCount }) => [firstBag, bagCount])

  test('into runs of whole bags, in order', () => {
    expect(cut([0, 4, 8, 12, 16], 10)).toEqual([
      [0, 2],
      [2, 2],
    ])
    expect(cut([0, 4, 8, 12, 16], 11)).toEqual([
      [0, 3],
      [3, 1],
    ])
    expect(cut([0, 100, 101], 10)).toEqual([
      [0, 1],
      [1, 1],
    ])
  })

  test('with empty bags counted, which have a row too', () => {
    expect(cut([0, 0, 0, 0, 0], 2)).toEqual([
      [0, 2],
      [2, 2],
    ])
    expect(cut([0], 2)).toEqual([])
  })
})

describe('Dispatched bags', () => {
  const ROWS = 500
  const DIM = 64
  /** Enough members for the pool. */
  const COUNT = INLINE_BYTES_MAX / (DIM * 4)
  let service: TestWriter
  let pool: ComputePool
  let arena: Arena
  beforeEach(async () => {
    service = await startTestWriter()
    pool = new ComputePool(2, 6)
    arena = new Arena(64 * 1024 * 1024)
    await putTable(service.client, {
      name: 'words',
      rows: ROWS,
      dim: DIM,
      values: Float32Array.from({ length: ROWS * DIM }, (_, i) => Math.sin(i)),
    })
  })
  afterEach(async () => {
    await service.close()
    await pool.close()
  })

  const prepare = (count: number) => {
    const reader = service.client.registry.find('words').current
    const bagCount = Math.ceil(count / 9)
    const job = {
      operation: 'mean' as const,
      bagCount,
      idsAt: arena.reserve(count * 4).at,
      offsetsAt: arena.reserve((bagCount + 1) * 4).at,
      weightsAt: arena.reserve(count * 4).at,
      fillAt: arena.reserve(DIM * 4).at,
      outAt: arena.reserve(bagCount * DIM * 4).at,
    }
    for (let m = 0; m < count; m++) {
      arena.int32[job.idsAt / 4 + m] = (m * 7) % ROWS
      arena.float32[job.weightsAt / 4 + m] = (m % 5) - 0.5
    }
    for (let bag = 0; bag <= bagCount; bag++) arena.int32[job.offsetsAt / 4 + bag] = Math.min(count, bag * 9)
    const rows = () => arena.float32.slice(job.outAt / 4, job.outAt / 4 + bagCount * DIM)
    const expected = () => {
      const copy = arena.bytes.slice().buffer
      const table = reader.handle.segments[0].memory.buffer
      makeReferenceBagKernels(table, copy).pool(
        { ...job, dim: DIM },
        { ...job, dtype: 'float32', firstRow: 0, rowCount: ROWS },
      )
      return new Float32Array(copy, job.outAt, bagCount * DIM)
    }
    return { reader, job, rows, expected }
  }

  test('are pooled inline when they are few or when there is no pool', () => {
    const few = prepare(100)
    const before = arena.reservedBytes
    expect(dispatchBags(few.reader, arena, few.job, pool)).toBeUndefined()
    expect(few.rows()).toEqual(few.expected())
    const many = prepare(COUNT)
    expect(dispatchBags(many.reader, arena, many.job, null)).toBeUndefined()
    expect(arena.reservedBytes).toBeGreaterThan(before)
  })

  test('are pooled by the compute workers, each a run of them, when they are many', {
    timeout: 240_000,
  }, async () => {
    const { reader, job, rows, expected } = prepare(COUNT)
    const before = arena.reservedBytes
    const pending = dispatchBags(reader, arena, job, pool)
    expect(pending).toBeInstanceOf(Promise)
    await pending
    // To the bit; comparing numbers one by one takes seconds.
    expect(Buffer.from(rows().buffer).equals(Buffer.from(expected().slice().buffer))).toBe(true)
    expect(arena.reservedBytes).toBe(before)
  })

  test('pin the version until they are done', async () => {
    const { reader, job } = prepare(COUNT)
    const pending = dispatchBags(reader, arena, job, pool)
    let released = false
    reader.retire(() => {
      released = true
    })
    expect(released).toBe(false)
    await pending
    expect(released).toBe(true)
  })

  test('release their scratch memory when the queue is full and when a task is refused', async () => {
    const jobs = Array.from({ length: 6 }, () => prepare(COUNT))
    const before = arena.reservedBytes
    const results = await Promise.allSettled(
      jobs.map(async ({ reader, job }) => dispatchBags(reader, arena, job, pool)),
    )
    const codes = results.flatMap((result) =>
      result.status === 'rejected' ? [(result.reason as { code: string }).code] : [],
    )
    expect(codes.length).toBeGreaterThan(0)
    expect(new Set(codes)).toEqual(new Set(['OVERLOADED']))
    expect(arena.reservedBytes).toBe(before)
    const words = new Int32Array(jobs[0].reader.handle.segments[0].memory.buffer)
    words[LOCK_AT / 4] = 1
    words[STRIPES_AT / 4 + 3] = 1
    await expect(dispatchBags(jobs[0].reader, arena, jobs[0].job, pool)).rejects.toMatchObject({
      code: 'OVERLOADED',
    })
    expect(arena.reservedBytes).toBe(before)
  })
})
