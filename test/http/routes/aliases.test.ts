import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { TableInfo } from '../../../src/core/types.ts'
import { readNpy } from '../../../src/formats/npy.ts'
import {
  readSafetensors,
  readSafetensorsHeader,
  writeSafetensorsHeader,
} from '../../../src/formats/safetensors.ts'
import type { Problem } from '../../../src/http/errors/problem.ts'
import { makeDataDir } from '../../helpers/data-dir.ts'
import { removeTables, type Service, startService } from '../../helpers/service.ts'

let service: Service
beforeAll(async () => {
  service = await startService()
})
beforeEach(async () => {
  for (const value of [1, 2]) await send('PUT', '/v1/tables/user', { values: [[value, value]] })
})
afterEach(() => removeTables(service))
afterAll(() => service.close())

type Method = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE' | 'QUERY'
const send = (method: Method, url: string, payload?: object, headers = {}) =>
  service.app.inject({ method: method as 'POST', url, payload, headers })
const alias = (name: string, payload: object) => send('PUT', `/v1/aliases/${name}`, payload)
const codeOf = async (answer: ReturnType<typeof send>) => [
  (await answer).statusCode,
  (await answer).json<Problem>().code,
]

describe('An alias', () => {
  test('is created with 201, and changed with 200', async () => {
    const created = await alias('live', { table: 'user' })
    expect(created.statusCode).toBe(201)
    expect(created.headers.location).toBe('/v1/aliases/live')
    expect(created.json()).toEqual({ alias: 'live', table: 'user', version: null })
    const changed = await alias('live', { table: 'user', version: 1 })
    expect([changed.statusCode, changed.json()]).toEqual([200, { alias: 'live', table: 'user', version: 1 }])
    const read = await send('GET', '/v1/aliases/live')
    expect([read.statusCode, read.json()]).toEqual([200, { alias: 'live', table: 'user', version: 1 }])
  })

  test('is listed in the order of the names', async () => {
    expect((await send('GET', '/v1/aliases')).json()).toEqual({ aliases: [] })
    for (const name of ['b', 'a', 'B']) await alias(name, { table: 'user' })
    expect((await send('GET', '/v1/aliases')).json()).toEqual({
      aliases: ['B', 'a', 'b'].map((name) => ({ alias: name, table: 'user', version: null })),
    })
  })

  test('is deleted with 204, which does not delete the table', async () => {
    await alias('live', { table: 'user' })
    expect((await send('DELETE', '/v1/aliases/live')).statusCode).toBe(204)
    expect(await codeOf(send('GET', '/v1/aliases/live'))).toEqual([404, 'ALIAS_NOT_FOUND'])
    expect(await codeOf(send('DELETE', '/v1/aliases/live'))).toEqual([404, 'ALIAS_NOT_FOUND'])
    expect(await codeOf(send('GET', '/v1/tables/live'))).toEqual([404, 'TABLE_NOT_FOUND'])
    expect((await send('GET', '/v1/tables/user')).statusCode).toBe(200)
  })

  test('needs an existing table and version, and a name that no table has', async () => {
    expect(await codeOf(alias('live', { table: 'none' }))).toEqual([404, 'TABLE_NOT_FOUND'])
    expect(await codeOf(alias('live', { table: 'user', version: 3 }))).toEqual([404, 'VERSION_NOT_FOUND'])
    expect(await codeOf(alias('user', { table: 'user' }))).toEqual([400, 'INVALID_REQUEST'])
    await alias('live', { table: 'user' })
    const again = await alias('other', { table: 'live' })
    expect([again.statusCode, again.json<Problem>().code]).toEqual([404, 'TABLE_NOT_FOUND'])
    expect(again.json<Problem>().detail).toContain('"user"')
  })

  test.each([
    ['no table', 'live', {}, '/table'],
    ['a version as text', 'live', { table: 'user', version: '1' }, '/version'],
    ['version null', 'live', { table: 'user', version: null }, '/version'],
    ['an unknown member', 'live', { table: 'user', weight: 1 }, '/weight'],
    ['an invalid name', '.live', { table: 'user' }, '/alias'],
  ])('is refused with %s', async (_what, name, payload, pointer) => {
    const answer = await alias(name, payload)
    expect([answer.statusCode, answer.json<Problem>().code]).toEqual([400, 'INVALID_REQUEST'])
    expect(answer.json<Problem>().errors?.[0].pointer).toBe(pointer)
  })

  test('persists across a restart', async () => {
    const { dataDir, remove } = makeDataDir()
    const first = service
    try {
      service = await startService({ dataDir })
      for (const value of [1, 2]) await send('PUT', '/v1/tables/user', { values: [[value, value]] })
      await alias('live', { table: 'user', version: 1 })
      await alias('newest', { table: 'user' })
      await alias('gone', { table: 'user' })
      await send('DELETE', '/v1/aliases/gone')
      await service.close()
      service = await startService({ dataDir })
      expect((await send('GET', '/v1/aliases')).json()).toEqual({
        aliases: [
          { alias: 'live', table: 'user', version: 1 },
          { alias: 'newest', table: 'user', version: null },
        ],
      })
      expect((await send('POST', '/v1/tables/live/lookup', { indices: 0 })).json()).toMatchObject({
        version: 1,
        embeddings: [1, 1],
      })
      await service.close()
    } finally {
      service = first
      remove()
    }
  })
})

describe('Through an alias', () => {
  beforeEach(async () => {
    await alias('live', { table: 'user' })
    await alias('old', { table: 'user', version: 1 })
  })
  const named = (name: string, expected: number) => ({ name, expected })

  test.each([named('live', 2), named('old', 1)])(
    '$name, every reading route reads version $expected',
    async ({ name, expected }) => {
      const table = `/v1/tables/${name}`
      const etag = `"${expected}-0"`
      for (const method of ['POST', 'QUERY'] as const) {
        const found = await send(method, `${table}/lookup`, { indices: [0] })
        expect(found.json()).toMatchObject({
          table: 'user',
          version: expected,
          embeddings: [[expected, expected]],
        })
        expect(found.headers.etag).toBe(etag)
        const many = await send(method, '/v1/lookup', { lookups: [{ table: name, indices: [0] }] })
        expect(many.json()).toMatchObject({ results: [{ table: 'user', version: expected }] })
      }
      const scores = await send('POST', `${table}/attend`, { queries: [1, 1] })
      expect(scores.json()).toMatchObject({ version: expected, logits: [2 * expected] })
      for (const method of ['GET', 'HEAD'] as const) {
        // The tags of what is cached name the table, because the alias may read another one later.
        const tags = {
          '': `"${expected}-0-1@user"`,
          '/data': `"${expected}-0.npy@user"`,
          '/rows': `"${expected}-0@user"`,
        }
        for (const [path, tag] of Object.entries(tags)) {
          const read = await send(method, table + path)
          expect([read.statusCode, read.headers.etag], `${method} ${path}`).toEqual([200, tag])
        }
        const fresh = await send(method, table, undefined, { 'if-none-match': tags[''] })
        expect(fresh.statusCode).toBe(304)
      }
      expect((await send('GET', table)).json<TableInfo>()).toMatchObject({ name: 'user', version: expected })
      expect((await send('GET', `${table}/rows`)).json()).toMatchObject({
        rows: [{ index: 0, embedding: [expected, expected] }],
      })
      const { data } = readNpy((await send('GET', `${table}/data`)).rawPayload)
      expect(Buffer.from(data.buffer, data.byteOffset, 4).readFloatLE()).toBe(expected)
      expect((await send('GET', `${table}/lora`)).json()).toMatchObject({
        table: 'user',
        version: expected,
        lora: null,
      })
      const versions = (await send('GET', `${table}/versions`)).json<{
        versions: { version: number; current: boolean }[]
      }>().versions
      expect(versions.map(({ version, current }) => [version, current])).toEqual([
        [1, false],
        [2, true],
      ])
    },
  )

  test('tensors are named after the alias', async () => {
    const { header } = writeSafetensorsHeader([
      { name: 'live/indices', elementType: 'int32', shape: [1] },
      { name: 'user/indices', elementType: 'int32', shape: [1] },
    ])
    const types = { 'content-type': 'application/x-safetensors', accept: 'application/x-safetensors' }
    const answer = await send('POST', '/v1/lookup', Buffer.concat([header, Buffer.alloc(8)]), types)
    expect([...readSafetensors(answer.rawPayload).keys()].sort()).toEqual([
      'live/embeddings',
      'user/embeddings',
    ])
    const { metadata } = readSafetensorsHeader(
      answer.rawPayload.subarray(0, answer.rawPayload.length - 16),
      null,
    )
    expect(metadata.get('live/version')).toBe('2')
  })

  test('a version can be pinned in the request', async () => {
    const found = await send('POST', '/v1/tables/live/lookup?version=1', { indices: [0] })
    expect(found.json()).toMatchObject({ version: 1, embeddings: [[1, 1]] })
  })

  test.each<[Method, string, object?]>([
    ['PATCH', '', {}],
    ['DELETE', ''],
    ['POST', '/rollback', { version: 1 }],
    ['POST', '/gradients', { indices: [0], gradients: [[1, 1]] }],
    ['POST', '/rows', { op: 'set', indices: [0], values: [[1, 1]] }],
    ['DELETE', '/lora'],
    ['POST', '/lora/merge'],
  ])('nothing can be changed: %s %s is a 404 that names the table', async (method, path, payload) => {
    const answer = await send(method, `/v1/tables/live${path}`, payload)
    expect([answer.statusCode, answer.json<Problem>().code]).toEqual([404, 'TABLE_NOT_FOUND'])
    expect(answer.json<Problem>().detail).toContain('its table "user"')
    expect((await send('GET', '/v1/tables/user')).headers.etag).toBe('"2-0-1"')
  })

  test('no table can be created', async () => {
    expect(await codeOf(send('PUT', '/v1/tables/live', { rows: 1, dim: 1 }))).toEqual([
      400,
      'INVALID_REQUEST',
    ])
    const begun = await send('POST', '/v1/tables/live/uploads', { rows: 1, dim: 1 })
    expect([begun.statusCode, begun.json<Problem>().code]).toEqual([400, 'INVALID_REQUEST'])
  })

  test('the next lookup reads the new version after a replacement or a change of the alias', async () => {
    const read = async () =>
      (await send('POST', '/v1/tables/live/lookup', { indices: [0] })).json<{ version: number }>().version
    await send('PUT', '/v1/tables/user', { values: [[3, 3]] })
    expect(await read()).toBe(3)
    await alias('live', { table: 'user', version: 2 })
    expect(await read()).toBe(2)
    await send('POST', '/v1/tables/user/rollback', { version: 2 })
    await alias('live', { table: 'user' })
    expect(await read()).toBe(2)
  })

  test('a deleted table, and a version of one that was made again, are 404s that name the table', async () => {
    await send('DELETE', '/v1/tables/user')
    expect(await codeOf(send('GET', '/v1/tables/live'))).toEqual([404, 'TABLE_NOT_FOUND'])
    expect((await send('GET', '/v1/aliases/live')).statusCode).toBe(200)
    await send('PUT', '/v1/tables/user', { values: [[7, 7]] })
    expect((await send('GET', '/v1/tables/live')).json<TableInfo>()).toMatchObject({
      name: 'user',
      version: 3,
    })
    const answer = await send('POST', '/v1/tables/old/lookup', { indices: [0] })
    expect([answer.statusCode, answer.json<Problem>().code]).toEqual([404, 'VERSION_NOT_FOUND'])
    expect(answer.json<Problem>().detail).toContain('"user"')
  })
})
