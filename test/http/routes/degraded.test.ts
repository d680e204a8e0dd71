import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { Problem } from '../../../src/http/errors/problem.ts'
import { type Service, startService } from '../../helpers/service.ts'

let service: Service
beforeEach(async () => {
  // The writer checks its disk by a timer; with a fake clock the test decides when.
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
  service = await startService()
  await send('PUT', '/v1/tables/t', { values: [[1, 2]] })
})
afterEach(async () => {
  await service.close()
  vi.useRealTimers()
})

const send = (method: 'GET' | 'PUT' | 'POST' | 'PATCH' | 'DELETE', url: string, payload?: object) =>
  service.app.inject({ method, url, payload })
const set = (value: number) =>
  send('POST', '/v1/tables/t/rows', { op: 'set', indices: [0], values: [[value, value]] })
const lookUp = async () =>
  (await send('POST', '/v1/tables/t/lookup', { indices: 0 })).json<{
    sequence: number
    embeddings: number[]
  }>()

/** Makes the next commit fail with an error of the disk, as the store reports it. */
const failNext = (error: { code?: string; errcode?: number; errstr?: string }) => {
  const { store } = service.writer.storage
  vi.spyOn(store, 'commit').mockImplementationOnce(() => {
    throw store.classify('a commit', Object.assign(new Error('disk trouble in /secret/path'), error))
  })
}

describe('While the disk is full', () => {
  test('updates are refused as DISK_FULL, lookups are answered, and readyz is degraded but 200', async () => {
    failNext({ code: 'ERR_SQLITE_ERROR', errcode: 13 })
    const refused = await set(5)
    expect([refused.statusCode, refused.json<Problem>().code]).toEqual([507, 'DISK_FULL'])
    expect(await lookUp()).toMatchObject({ sequence: 0, embeddings: [1, 2] })
    const degraded = await send('GET', '/readyz')
    expect([degraded.statusCode, degraded.json()]).toEqual([
      200,
      { status: 'degraded', reason: expect.stringContaining('disk is full') },
    ])
    expect((await send('GET', '/')).json()).toMatchObject({ ready: true })
  })

  test('the first update that succeeds ends that state', async () => {
    failNext({ code: 'ERR_SQLITE_ERROR', errcode: 13 })
    await set(5)
    expect((await set(6)).json()).toMatchObject({ sequence: 1 })
    expect(await lookUp()).toMatchObject({ sequence: 1, embeddings: [6, 6] })
    expect((await send('GET', '/readyz')).json()).toEqual({ status: 'ready' })
  })

  test('the state ends by itself when there is space', async () => {
    failNext({ code: 'ERR_SQLITE_ERROR', errcode: 13 })
    await set(5)
    vi.advanceTimersByTime(1_000)
    await service.context.writer.call('sync', null)
    expect((await send('GET', '/readyz')).json()).toEqual({ status: 'ready' })
  })

  test.each<[string, Parameters<typeof send>]>([
    ['a new table', ['PUT', '/v1/tables/u', { rows: 1, dim: 1 }]],
    ['a replacement', ['PUT', '/v1/tables/t', { rows: 1, dim: 1 }]],
    ['a change of settings', ['PATCH', '/v1/tables/t', { out_of_range: 'clip' }]],
    ['a deletion', ['DELETE', '/v1/tables/t']],
    ['a rollback', ['POST', '/v1/tables/t/rollback', { version: 1 }]],
    ['an alias', ['PUT', '/v1/aliases/live', { table: 't' }]],
  ])(
    '%s is refused as DISK_FULL without a change, and succeeds later',
    async (_what, [method, url, payload]) => {
      const before = (await send('GET', '/v1/tables')).body
      const { reservedBytes } = service.writer.memory
      failNext({ code: 'ENOSPC' })
      const refused = await send(method, url, payload)
      expect([refused.statusCode, refused.json<Problem>().code]).toEqual([507, 'DISK_FULL'])
      expect((await send('GET', '/v1/tables')).body).toBe(before)
      expect((await send('GET', '/v1/aliases')).json()).toEqual({ aliases: [] })
      expect(service.writer.memory.reservedBytes).toBe(reservedBytes)
      expect((await send(method, url, payload)).statusCode).toBeLessThan(300)
    },
  )
})

test('After a failed write updates are refused as NOT_READY with the cause, and lookups go on', async () => {
  await set(3)
  failNext({ code: 'ERR_SQLITE_ERROR', errcode: 1034, errstr: 'disk I/O error' })
  for (let attempt = 0; attempt < 2; attempt++) {
    const refused = await set(5)
    expect([refused.statusCode, refused.json<Problem>().code, refused.headers['retry-after']]).toEqual([
      503,
      'NOT_READY',
      '1',
    ])
    expect(refused.json<Problem>()).toMatchObject({
      retryable: true,
      detail: expect.stringContaining('1034'),
    })
    expect(refused.body).not.toContain('secret')
    expect(await lookUp()).toMatchObject({ sequence: 1, embeddings: [3, 3] })
  }
  const degraded = await send('GET', '/readyz')
  expect([degraded.statusCode, degraded.json()]).toEqual([
    200,
    { status: 'degraded', reason: expect.stringContaining('until a restart') },
  ])
  expect((await send('PUT', '/v1/tables/u', { rows: 1, dim: 1 })).json<Problem>().code).toBe('NOT_READY')
})
