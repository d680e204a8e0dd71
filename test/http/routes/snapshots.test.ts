import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { StoreFailed } from '../../../src/storage/refusals.ts'
import type { Problem } from '../../../src/http/errors/problem.ts'
import { makeDataDir } from '../../helpers/data-dir.ts'
import { type Service, startService } from '../../helpers/service.ts'

let service: Service
beforeEach(async () => {
  service = await startService()
})
afterEach(() => service.close())

const send = (method: 'PUT' | 'POST', url: string, payload?: object) =>
  service.app.inject({ method, url, payload })
const putTable = (name: string, more = {}) => send('PUT', `/v1/tables/${name}`, { values: [[1, 2]], ...more })
const set = (name: string, value: number) =>
  send('POST', `/v1/tables/${name}/rows`, { op: 'set', indices: [0], values: [[value, value]] })
const snapshot = () => send('POST', '/v1/snapshots')
const rowOf = async (name: string) =>
  (await send('POST', `/v1/tables/${name}/lookup`, { indices: 0 })).json<{ embeddings: number[] }>()
    .embeddings

describe('POST /v1/snapshots', () => {
  test('writes snapshots of changed tables, and lists them', async () => {
    expect((await snapshot()).json()).toEqual({ snapshots: [] })
    for (const name of ['a', 'b']) await putTable(name)
    await set('a', 3)
    await set('a', 4)
    const answer = await snapshot()
    expect(answer.statusCode).toBe(200)
    expect(answer.json()).toEqual({
      snapshots: [{ table: 'a', version: 1, sequence: 2, bytes: expect.any(Number) }],
    })
    expect(answer.json<{ snapshots: { bytes: number }[] }>().snapshots[0].bytes).toBeGreaterThan(8)
    expect((await snapshot()).json()).toEqual({ snapshots: [] })
  })

  test('refuses a body', async () => {
    expect((await send('POST', '/v1/snapshots', { table: 'a' })).json<Problem>().code).toBe('INVALID_REQUEST')
  })

  test('is refused as DISK_FULL without space, and as NOT_READY after a failed write', async () => {
    await putTable('a')
    await set('a', 3)
    const { store } = service.writer.storage
    const commit = vi.spyOn(store, 'commit')
    commit.mockImplementationOnce(() => {
      throw store.classify('a commit', { code: 'ENOSPC' })
    })
    const full = await snapshot()
    expect([full.statusCode, full.json<Problem>().code]).toEqual([507, 'DISK_FULL'])
    expect((await snapshot()).json()).toMatchObject({ snapshots: [{ table: 'a', sequence: 1 }] })
    await set('a', 4)
    commit.mockImplementationOnce(() => {
      throw new StoreFailed('a commit failed: /secret/path', { cause: { code: 'EIO' } })
    })
    const failed = await snapshot()
    expect([failed.statusCode, failed.json<Problem>().code, failed.headers['retry-after']]).toEqual([
      503,
      'NOT_READY',
      '1',
    ])
    expect(failed.json<Problem>().detail).toContain('EIO')
    expect(failed.body).not.toContain('secret')
  })
})

test('Updates of every durability survive a clean restart, and answers name the durability', async () => {
  const { dataDir, remove } = makeDataDir()
  const first = service
  try {
    service = await startService({ dataDir })
    for (const durability of ['disk', 'os', 'none']) {
      await putTable(durability, { durability })
      expect((await set(durability, 5)).json()).toMatchObject({ durability, sequence: 1 })
    }
    await service.close()
    service = await startService({ dataDir })
    for (const durability of ['disk', 'os', 'none']) {
      expect(await rowOf(durability)).toEqual([5, 5])
      expect((await service.app.inject({ url: `/v1/tables/${durability}` })).json()).toMatchObject({
        durability,
        version: 1,
        sequence: 1,
      })
    }
    await service.close()
  } finally {
    service = first
    remove()
  }
})
