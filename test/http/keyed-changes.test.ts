import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { TableInfo } from '../../src/core/types.ts'
import type { Problem } from '../../src/http/errors/problem.ts'
import { writeSafetensorsHeader } from '../../src/formats/safetensors.ts'
import { makeDataDir } from '../helpers/data-dir.ts'
import { removeTables, type Service, startService } from '../helpers/service.ts'

let directory: ReturnType<typeof makeDataDir>
let service: Service
beforeAll(async () => {
  directory = makeDataDir()
  service = await startService({ dataDir: directory.dataDir })
})
beforeEach(() => send('PUT', 'tables/t', { body: { values: [[1], [2]] } }))
let keyCount = 0
afterEach(async () => {
  keyCount++
  await removeTables(service)
})
afterAll(async () => {
  await service.close()
  directory.remove()
})

type Method = 'GET' | 'PUT' | 'PATCH' | 'POST' | 'DELETE'
interface Sent {
  body?: object | Buffer
  headers?: Record<string, string>
}
const send = (method: Method, path: string, { body, headers }: Sent = {}) =>
  service.app.inject({ method, url: `/v1/${path}`, payload: body, headers })

const RAW = { 'content-type': 'application/octet-stream' }
const numbers = (...values: number[]): Buffer => Buffer.from(Float32Array.from(values).buffer)

const adapter = (): Sent => {
  const { header } = writeSafetensorsHeader([
    { name: 'a', elementType: 'float32', shape: [2, 1] },
    { name: 'b', elementType: 'float32', shape: [1, 1] },
  ])
  const body = Buffer.concat([header, numbers(1, 1, 3)])
  return { body, headers: { 'content-type': 'application/x-safetensors' } }
}

/** Every change that is no update: what prepares it, and the request. */
const CHANGES: Record<string, { prepare?: [Method, string, Sent?][]; request: [Method, string, Sent?] }> = {
  'a specification': { request: ['PUT', 'tables/t', { body: { values: [[7], [8]] } }] },
  'a new table': { request: ['PUT', 'tables/new', { body: { rows: 2, dim: 1 } }] },
  'streamed data': { request: ['PUT', 'tables/t?rows=2&dim=1', { body: numbers(5, 6), headers: RAW }] },
  settings: { request: ['PATCH', 'tables/t', { body: { fill_value: 3 } }] },
  'a deletion': { request: ['DELETE', 'tables/t'] },
  'a rollback': {
    prepare: [['PUT', 'tables/t', { body: { values: [[9], [9]] } }]],
    request: ['POST', 'tables/t/rollback', { body: { version: 1 } }],
  },
  'an adapter': { request: ['PUT', 'tables/t/lora?alpha=1', adapter()] },
  'the deletion of an adapter': {
    prepare: [['PUT', 'tables/t/lora?alpha=1', adapter()]],
    request: ['DELETE', 'tables/t/lora'],
  },
  'the deletion of no adapter': { request: ['DELETE', 'tables/t/lora'] },
  'a merge': {
    prepare: [['PUT', 'tables/t/lora?alpha=1', adapter()]],
    request: ['POST', 'tables/t/lora/merge'],
  },
  'an alias': { request: ['PUT', 'aliases/live', { body: { table: 't', version: 1 } }] },
  'the deletion of an alias': {
    prepare: [['PUT', 'aliases/live', { body: { table: 't' } }]],
    request: ['DELETE', 'aliases/live'],
  },
}

const keyed = ([method, path, sent = {}]: [Method, string, Sent?], key = `key-${keyCount}`) =>
  send(method, path, { ...sent, headers: { ...sent.headers, 'idempotency-key': key } })

/** Everything that a change could have changed a second time. */
const readState = async (): Promise<string[]> => {
  const paths = ['tables', 'aliases', 'tables/t/versions', 'tables/t/lora', 'tables/t/rows']
  const answers = await Promise.all(paths.map((path) => send('GET', path)))
  return answers.map(({ body, headers }) =>
    `${body} ${String(headers.etag)}`.replace(/"instance":"[^"]*"/, ''),
  )
}

describe.each(Object.entries(CHANGES))('The key of %s', (_name, { prepare = [], request }) => {
  beforeEach(async () => {
    await send('DELETE', 'aliases/live')
    for (const [method, path, sent] of prepare)
      expect((await send(method, path, sent)).statusCode).toBeLessThan(300)
  })

  test('gets the first result again, which says so, and changes nothing', async () => {
    const first = await keyed(request)
    expect(first.statusCode, first.body).toBeLessThan(300)
    expect(first.headers['idempotent-replayed']).toBeUndefined()
    const before = await readState()
    const again = await keyed(request)
    expect(again.statusCode).toBe(first.statusCode)
    expect(again.headers['idempotent-replayed']).toBe('true')
    for (const name of ['etag', 'location', 'x-table-version'])
      expect(again.headers[name]).toBe(first.headers[name])
    if (first.body === '') expect(again.body).toBe('')
    else expect(again.json()).toEqual({ ...first.json<object>(), replayed: true })
    expect(await readState()).toEqual(before)
  })

  test('is refused for another call', async () => {
    await keyed(request)
    const other: [Method, string, Sent?] = request[1].startsWith('aliases')
      ? ['PUT', 'aliases/live', { body: { table: 'other' } }]
      : ['PATCH', request[1].split(/[?]|\/lora|\/rollback/)[0], { body: { fill_value: 77 } }]
    const answer = await keyed(other)
    expect([answer.statusCode, answer.json<Problem>().code]).toEqual([422, 'IDEMPOTENCY_MISMATCH'])
  })
})

test('The key of a request that begins or aborts an upload gets the first answer, and begins no second one', async () => {
  const begin: [Method, string, Sent] = ['POST', 'tables/t/uploads', { body: { rows: 1, dim: 1 } }]
  const first = await keyed(begin, 'begin')
  const again = await keyed(begin, 'begin')
  expect([again.statusCode, again.json(), again.headers.location]).toEqual([
    201,
    { ...first.json<object>(), replayed: true },
    first.headers.location,
  ])
  expect((await send('GET', 'uploads')).json<{ uploads: object[] }>().uploads).toHaveLength(1)
  const upload = String(first.headers.location).slice('/v1/'.length)
  for (const isReplay of [undefined, 'true']) {
    const removed = await keyed(['DELETE', upload], 'abort')
    expect([removed.statusCode, removed.headers['idempotent-replayed']]).toEqual([204, isReplay])
  }
})

describe('The key of a change', () => {
  test('survives a restart, together with the change', async () => {
    const first = await keyed(['PUT', 'tables/t?rows=1&dim=1', { body: numbers(4), headers: RAW }], 'restart')
    await service.close()
    service = await startService({ dataDir: directory.dataDir })
    const again = await keyed(['PUT', 'tables/t?rows=1&dim=1', { body: numbers(4), headers: RAW }], 'restart')
    expect(again.json()).toEqual({ ...first.json<object>(), replayed: true })
    expect((await send('GET', 'tables/t')).json<TableInfo>().version).toBe(first.json<TableInfo>().version)
  })

  test('is refused for a body that differs in one byte, and stores nothing of it', async () => {
    const path = 'tables/t?rows=2&dim=1'
    await keyed(['PUT', path, { body: numbers(1, 2), headers: RAW }])
    const { reservedBytes } = service.writer.memory
    const answer = await keyed(['PUT', path, { body: numbers(1, 3), headers: RAW }])
    expect([answer.statusCode, answer.json<Problem>().code]).toEqual([422, 'IDEMPOTENCY_MISMATCH'])
    const query = await keyed(['PUT', `${path}&dtype=float16`, { body: numbers(1, 2), headers: RAW }])
    expect([query.statusCode, query.json<Problem>().code]).toEqual([422, 'IDEMPOTENCY_MISMATCH'])
    expect(service.writer.memory.reservedBytes).toBe(reservedBytes)
  })

  test('is 409 while the first request runs', async () => {
    const request: [Method, string, Sent] = [
      'PUT',
      'tables/t?rows=2&dim=1',
      { body: numbers(1, 2), headers: RAW },
    ]
    const both = await Promise.all([keyed(request), keyed(request)])
    expect(both.map(({ statusCode }) => statusCode).sort()).toEqual([200, 409])
    expect((await keyed(request)).json()).toMatchObject({ replayed: true })
  })

  test('is free again when the request was refused', async () => {
    const path = 'tables/t?rows=2&dim=1'
    const refused = await keyed(['PUT', path, { body: numbers(1), headers: RAW }])
    expect(refused.json()).toMatchObject({ code: 'MALFORMED_BODY' })
    expect((await keyed(['PATCH', 'tables/t', { body: { fill_value: 1 } }])).statusCode).toBe(200)
  })

  test('and that of an update are one: neither can be used for the other', async () => {
    const update: [Method, string, Sent] = [
      'POST',
      'tables/t/rows',
      { body: { op: 'set', indices: [0], values: [[5]] } },
    ]
    const patch: [Method, string, Sent] = ['PATCH', 'tables/t', { body: { fill_value: 1 } }]
    expect((await keyed(update, 'of-update')).statusCode).toBe(200)
    expect((await keyed(patch, 'of-update')).json()).toMatchObject({ code: 'IDEMPOTENCY_MISMATCH' })
    expect((await keyed(patch, 'of-patch')).statusCode).toBe(200)
    expect((await keyed(update, 'of-patch')).json()).toMatchObject({ code: 'IDEMPOTENCY_MISMATCH' })
  })

  test('of a commit of parts gets the first answer, also when the upload is gone', async () => {
    const begun = await send('POST', 'tables/t/uploads', { body: { rows: 1, dim: 1 } })
    const upload = String(begun.headers.location).slice('/v1/'.length)
    await send('PUT', `${upload}/parts/0`, { body: numbers(4), headers: RAW })
    const first = await keyed(['POST', `${upload}/commit`])
    expect(first.statusCode).toBe(200)
    await send('DELETE', upload)
    const again = await keyed(['POST', `${upload}/commit`])
    expect([again.statusCode, again.json()]).toEqual([200, { ...first.json<object>(), replayed: true }])
  })
})
