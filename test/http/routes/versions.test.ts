import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { TableInfo } from '../../../src/core/types.ts'
import type { Problem } from '../../../src/http/errors/problem.ts'
import { makeDataDir } from '../../helpers/data-dir.ts'
import { removeTables, type Service, startService } from '../../helpers/service.ts'

let service: Service
beforeAll(async () => {
  service = await startService()
})
afterEach(() => removeTables(service))
afterAll(() => service.close())

const put = (value: number, more = {}) =>
  service.app.inject({ method: 'PUT', url: '/v1/tables/t', payload: { values: [[value, value]], ...more } })
const list = async (name = 't') =>
  (await service.app.inject({ url: `/v1/tables/${name}/versions` })).json<{
    versions: { version: number; created_at: string; bytes: number; current: boolean }[]
  }>().versions
const rollBack = (version: unknown, headers = {}) =>
  service.app.inject({ method: 'POST', url: '/v1/tables/t/rollback', payload: { version }, headers })
const look = async (url = '/v1/tables/t/lookup') => {
  const answer = await service.app.inject({ method: 'POST', url, payload: { indices: [0] } })
  return answer.json<{ version: number; sequence: number; embeddings: number[][] }>()
}
const set = (value: number) =>
  service.app.inject({
    method: 'POST',
    url: '/v1/tables/t/rows',
    payload: { op: 'set', indices: [0], values: [[value, value]] },
  })

describe('The versions of a table', () => {
  test('are listed in ascending order with the current one', async () => {
    await put(1)
    await put(2)
    const versions = await list()
    expect(versions).toEqual([
      { version: 1, created_at: expect.any(String), bytes: 8, current: false },
      { version: 2, created_at: expect.any(String), bytes: 8, current: true },
    ])
    expect(new Date(versions[0].created_at).toISOString()).toBe(versions[0].created_at)
    await put(3)
    expect((await list()).map(({ version }) => version)).toEqual([2, 3])
    await rollBack(2)
    expect((await list()).map(({ version, current }) => [version, current])).toEqual([
      [2, true],
      [3, false],
    ])
  })

  test('are a 404 for an unknown table', async () => {
    const answer = await service.app.inject({ url: '/v1/tables/none/versions' })
    expect([answer.statusCode, answer.json<Problem>().code]).toEqual([404, 'TABLE_NOT_FOUND'])
  })
})

describe('A rollback', () => {
  test('makes a version with its updates current again, and keeps the settings', async () => {
    await put(1, { optimizer: { kind: 'sgd', learning_rate: 0.5 } })
    await set(10)
    await put(2)
    const answer = await rollBack(1)
    expect(answer.statusCode).toBe(200)
    expect(answer.headers).toMatchObject({ etag: '"1-1-1"', 'x-table-version': '1', 'x-table-sequence': '1' })
    expect(answer.json<TableInfo>()).toMatchObject({
      name: 't',
      version: 1,
      sequence: 1,
      optimizer: { learning_rate: 0.5 },
    })
    expect(await look()).toMatchObject({ version: 1, sequence: 1, embeddings: [[10, 10]] })
    expect(await look('/v1/tables/t/lookup?version=2')).toMatchObject({ embeddings: [[2, 2]] })
  })

  test('is followed by a replacement whose number is one above the highest ever used', async () => {
    await put(1)
    await put(2)
    await rollBack(1)
    expect((await put(3)).json<TableInfo>().version).toBe(3)
    expect((await list()).map(({ version }) => version)).toEqual([2, 3])
  })

  test('is VERSION_NOT_FOUND for an unknown version, and TABLE_NOT_FOUND for an unknown table', async () => {
    expect((await rollBack(1)).json<Problem>().code).toBe('TABLE_NOT_FOUND')
    await put(1)
    const answer = await rollBack(2)
    expect([answer.statusCode, answer.json<Problem>().code]).toEqual([404, 'VERSION_NOT_FOUND'])
    expect((await look()).version).toBe(1)
  })

  test('respects If-Match', async () => {
    await put(1)
    await put(2)
    const refused = await rollBack(1, { 'if-match': '"2-1"' })
    expect([refused.statusCode, refused.json<Problem>().code]).toEqual([412, 'PRECONDITION_FAILED'])
    expect((await look()).version).toBe(2)
    expect((await rollBack(1, { 'if-match': '"2-0"' })).statusCode).toBe(200)
    expect((await look()).version).toBe(1)
  })

  test.each([
    ['a version as text', { version: '1' }, '/version'],
    ['null', { version: null }, '/version'],
    ['a fraction', { version: 1.5 }, '/version'],
    ['zero', { version: 0 }, '/version'],
    ['nothing', {}, '/version'],
    ['an unknown member beside it', { version: 1, force: true }, '/force'],
  ])('is refused with %s', async (_what, payload, pointer) => {
    await put(1)
    const answer = await service.app.inject({ method: 'POST', url: '/v1/tables/t/rollback', payload })
    expect([answer.statusCode, answer.json<Problem>().code]).toEqual([400, 'INVALID_REQUEST'])
    expect(answer.json<Problem>().errors?.[0].pointer).toBe(pointer)
  })

  test('persists across a restart', async () => {
    const { dataDir, remove } = makeDataDir()
    const first = service
    try {
      service = await startService({ dataDir })
      await put(1)
      await set(10)
      await put(2)
      await rollBack(1)
      const before = await list()
      await service.close()
      service = await startService({ dataDir })
      expect(await list()).toEqual(before)
      expect(await look()).toMatchObject({ version: 1, sequence: 1, embeddings: [[10, 10]] })
      expect((await put(3)).json<TableInfo>().version).toBe(3)
      await service.close()
    } finally {
      service = first
      remove()
    }
  })
})
