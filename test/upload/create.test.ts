import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { refuse } from '../../src/core/errors.ts'
import type { Dtype } from '../../src/core/types.ts'
import { Arena } from '../../src/tables/arena.ts'
import { PAGE_BYTES } from '../../src/layout/table-layout.ts'
import { createTable, type Specification } from '../../src/upload/create.ts'
import { initializeRows } from '../../src/upload/initializers.ts'
import { expectSameNumbers } from '../helpers/same-numbers.ts'
import { startTestWriter, type TestWriter } from '../helpers/writer.ts'
import { readAll } from './bodies.ts'

let service: TestWriter
const arena = new Arena(4 * 1024 * 1024)
beforeEach(async () => {
  service = await startTestWriter()
})
afterEach(async () => {
  await service.close()
  expect(arena.reservedBytes).toBe(0)
})

const create = (wishes: Partial<Specification>) =>
  createTable(service.client, arena, {
    name: 'user',
    rows: 2,
    dim: 2,
    dtype: 'float32',
    source: { initializer: { kind: 'zeros' } },
    settings: {},
    precondition: {},
    ...wishes,
  })
const wholeTable = (initializer: Parameters<typeof initializeRows>[0], rows: number, dim: number) => {
  const values = new Float32Array(rows * dim)
  initializeRows(initializer, rows, dim)(0, rows, values)
  return Array.from(values)
}

describe('A table is created', () => {
  test('from values, and replaced by others', async () => {
    expect(await create({ source: { values: Float32Array.of(1, 2, 3, 4) } })).toMatchObject({
      created: true,
      version: 1,
      initializer: null,
      info: { name: 'user', version: 1, sequence: 0, rows: 2, dim: 2, dtype: 'float32', bytes: 16 },
    })
    expect(readAll(service.client, arena)).toEqual([1, 2, 3, 4])
    expect(await create({ source: { values: Float32Array.of(5, 6) }, rows: 1 })).toMatchObject({
      created: false,
      version: 2,
    })
    expect(readAll(service.client, arena)).toEqual([5, 6])
  })

  test('but neither from values nor an initializer when nobody waits for it any more', async () => {
    const checkWanted = (): never => refuse('DEADLINE_EXCEEDED', 'the client has gone')
    for (const source of [
      { values: Float32Array.of(1, 2, 3, 4) },
      { initializer: { kind: 'normal' as const } },
    ])
      await expect(create({ source, checkWanted })).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' })
    expect(service.client.registry.get('user')).toBeUndefined()
    expect(service.writer.memory.reservedBytes).toBe(0)
  })

  test('from an initializer, whose seed is returned', async () => {
    const { initializer } = await create({ source: { initializer: { kind: 'normal' } } })
    expect(initializer).toMatchObject({ kind: 'normal', seed: expect.any(Number) })
    if (initializer !== null) expect(readAll(service.client, arena)).toEqual(wholeTable(initializer, 2, 2))
  })

  test('in many chunks and segments with the rows of a single one', async () => {
    await service.close()
    service = await startTestWriter({ segmentBytesMax: 2 * PAGE_BYTES })
    const [rows, dim] = [3001, 50]
    await create({ rows, dim, source: { initializer: { kind: 'truncated_normal', seed: 11 } } })
    expect(service.client.registry.find('user').current.handle.segments.length).toBeGreaterThan(4)
    const values = wholeTable(
      { kind: 'truncated_normal', mean: 0, stddev: 1 / Math.sqrt(50), seed: 11 },
      rows,
      dim,
    )
    expectSameNumbers(readAll(service.client, arena), values)
    await create({ rows, dim, source: { values: Float32Array.from(values) }, name: 'values' })
    expectSameNumbers(readAll(service.client, arena, 'values'), values)
  })

  test('of zeros in every dtype', async () => {
    for (const dtype of ['float32', 'float16', 'bfloat16', 'int8'] as Dtype[]) {
      await create({ dtype })
      expect(readAll(service.client, arena), dtype).toEqual([0, 0, 0, 0])
    }
  })

  test('without rows', async () => {
    await create({ rows: 0, dim: 7, source: { initializer: { kind: 'normal' } } })
    await create({ rows: 0, dim: 7, source: { values: new Float32Array(0) }, name: 'values' })
    expect(readAll(service.client, arena)).toEqual([])
  })

  test('while the thread also runs other tasks', async () => {
    let turnCount = 0
    const clock = setInterval(() => turnCount++, 0)
    await create({ rows: 3000, dim: 256, source: { initializer: { kind: 'normal', seed: 1 } } })
    clearInterval(clock)
    expect(turnCount).toBeGreaterThan(2)
  })
})

describe('A specification is refused without a change', () => {
  test.each<[string, Partial<Specification>]>([
    ['SHAPE_MISMATCH', { dim: 0 }],
    ['SHAPE_MISMATCH', { rows: -1 }],
    ['SHAPE_MISMATCH', { rows: 2 ** 31 }],
    ['INVALID_REQUEST', { source: { initializer: { kind: 'uniform', min: 2, max: 1 } } }],
    ['NON_FINITE', { source: { initializer: { kind: 'constant', value: 1e39 } } }],
    ['NON_FINITE', { source: { initializer: { kind: 'constant', value: 1e6 } }, dtype: 'float16' }],
    ['PRECONDITION_FAILED', { precondition: { ifMatch: ['*'] } }],
    ['MEMORY_QUOTA_EXCEEDED', { rows: 1_000_000, dim: 1024 }],
  ])('%s: %j', async (code, wishes) => {
    await expect(create(wishes)).rejects.toMatchObject({ code })
    expect(service.writer.memory.reservedBytes).toBe(0)
    expect(service.client.registry.get('user')).toBeUndefined()
  })

  test('when a value is not finite, with its position', async () => {
    const values = Float32Array.of(1, 2, 3, Infinity)
    const errors = [{ pointer: '/values/1/1', detail: 'not finite as float32' }]
    await expect(create({ source: { values } })).rejects.toMatchObject({ code: 'NON_FINITE', errors })
    await create({ source: { values }, allowNonFinite: true })
    expect(readAll(service.client, arena)).toEqual([1, 2, 3, Infinity])
  })
})
