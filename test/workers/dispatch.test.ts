import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Arena } from '../../src/tables/arena.ts'
import { dispatchGather, INLINE_BYTES_MAX, planDispatch } from '../../src/workers/dispatch.ts'
import { ComputePool } from '../../src/workers/pool.ts'
import { putTable, startTestWriter, type TestWriter } from '../helpers/writer.ts'

describe('The plan of a gather', () => {
  test('runs small gathers in the HTTP worker, and all without compute workers', () => {
    expect(planDispatch(1024, 64, 2).inline).toBe(true)
    expect(planDispatch(60_000, 4096, 0)).toEqual({ inline: true, chunkCount: 60_000 })
  })

  test('counts a short row as a whole cache line', () => {
    expect(planDispatch(INLINE_BYTES_MAX / 64, 4, 2).inline).toBe(false)
    expect(planDispatch(INLINE_BYTES_MAX / 64 - 1, 4, 2).inline).toBe(true)
  })

  test('splits large gathers into whole chunks for the threads', () => {
    const { inline, chunkCount } = planDispatch(60_001, 1024, 2)
    expect(inline).toBe(false)
    expect(Math.ceil(60_001 / chunkCount)).toBeLessThanOrEqual(4)
  })
})

describe('A large gather', () => {
  let service: TestWriter
  let pool: ComputePool
  beforeEach(async () => {
    service = await startTestWriter({ segmentBytesMax: 16 * 65_536 })
    pool = new ComputePool(2, 8)
  })
  afterEach(async () => {
    await service.close()
    await pool.close()
  })

  const ROWS = 5_000
  const DIM = 100
  const COUNT = 40_000

  const prepare = async () => {
    await putTable(service.client, {
      name: 'user',
      rows: ROWS,
      dim: DIM,
      values: Float32Array.from({ length: ROWS * DIM }, (_, i) => i),
    })
    const reader = service.client.registry.find('user').current
    expect(reader.handle.segments.length).toBe(2)
    const arena = new Arena(64 * 1024 * 1024)
    const ids = arena.reserve(COUNT * 4)
    const fill = arena.reserve(DIM * 4)
    const out = arena.reserve(COUNT * DIM * 4)
    for (let i = 0; i < COUNT; i++) arena.int32[ids.at / 4 + i] = (i * 7919) % ROWS
    return {
      reader,
      arena,
      out,
      job: { format: 'stored' as const, idsAt: ids.at, count: COUNT, outAt: out.at, fillAt: fill.at },
    }
  }

  test('runs in the pool in chunks over all segments, in the order of the request', async () => {
    const { reader, arena, out, job } = await prepare()
    const pending = dispatchGather(reader, arena, job, pool)
    expect(pending).toBeInstanceOf(Promise)
    await pending
    for (let i = 0; i < COUNT; i += 997) {
      const row = (i * 7919) % ROWS
      expect(arena.float32[out.at / 4 + i * DIM]).toBe(row * DIM)
      expect(arena.float32[out.at / 4 + i * DIM + DIM - 1]).toBe(row * DIM + DIM - 1)
    }
  })

  test('pins its version until the last chunk is done', async () => {
    const { reader, arena, job } = await prepare()
    const before = service.writer.memory.reservedBytes
    const pending = dispatchGather(reader, arena, job, pool)
    await service.client.call('remove', { name: 'user', precondition: {} })
    expect(service.writer.memory.reservedBytes).toBeLessThanOrEqual(before)
    await pending
    await expect.poll(() => service.writer.memory.reservedBytes).toBe(0)
  })

  test('is refused as a whole when the queue is full', async () => {
    const { reader, arena, job } = await prepare()
    const pending: (void | Promise<void>)[] = []
    const fill = () => {
      for (let i = 0; i < 20; i++) pending.push(dispatchGather(reader, arena, job, pool))
    }
    expect(fill).toThrowError(
      expect.objectContaining({ code: 'OVERLOADED', headers: { 'Retry-After': '1' } }),
    )
    expect(pool.queueDepth).toBeLessThanOrEqual(8)
    await Promise.all(pending)
    await dispatchGather(reader, arena, job, pool)
  })
})
