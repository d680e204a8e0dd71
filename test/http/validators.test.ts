import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { removeTables, type Service, startService } from '../helpers/service.ts'

let service: Service
beforeAll(async () => (service = await startService()))
afterEach(() => removeTables(service))
afterAll(() => service.close())

type Method = 'GET' | 'PUT' | 'PATCH' | 'POST' | 'DELETE'
const send = (method: Method, path: string, payload?: object, headers: Record<string, string> = {}) =>
  service.app.inject({ method, url: `/v1/${path}`, payload, headers })
const put = (value: number) => send('PUT', 'tables/t', { values: [[value]] })
const set = { op: 'set', indices: [0], values: [[9]] }
const OPTIMIZER = { accept: 'application/x-safetensors' }

/** Reads the tag of each form that a table has. */
const tags = async (): Promise<string[]> => {
  const rows = await send('POST', 'tables/t/lookup', { indices: [0] })
  const info = await send('GET', 'tables/t')
  const data = await send('GET', 'tables/t/data')
  const state = await send('GET', 'tables/t/data?include=optimizer', undefined, OPTIMIZER)
  return [rows, info, data, state].map(({ headers }) => String(headers.etag))
}

describe('An entity tag', () => {
  test('has a form for rows, for the description, and for each format of the data', async () => {
    await put(1)
    expect(await tags()).toEqual(['"1-0"', '"1-0-0"', '"1-0.npy"', '"1-0.safetensors+0"'])
  })

  test('is never that of a table which was deleted before, by reading nor by writing', async () => {
    await put(1)
    const old = await tags()
    await send('DELETE', 'tables/t')
    await put(2)
    for (const tag of await tags()) expect(old).not.toContain(tag)
    const header = { 'if-none-match': old.join(', ') }
    for (const path of ['tables/t', 'tables/t/data'])
      expect((await send('GET', path, undefined, header)).statusCode).toBe(200)
    for (const tag of [...old, '"1"']) {
      const guarded = { 'if-match': tag }
      expect((await send('POST', 'tables/t/rows', set, guarded)).statusCode).toBe(412)
      expect((await send('DELETE', 'tables/t', undefined, guarded)).statusCode).toBe(412)
    }
  })

  test('of the description changes with each setting, with which other tags stay', async () => {
    await put(1)
    const [rows, info, data, state] = await tags()
    expect((await send('PATCH', 'tables/t', { fill_value: 1 })).headers.etag).toBe('"1-0-1"')
    expect(await tags()).toEqual([rows, '"1-0-1"', data, '"1-0.safetensors+1"'])
    expect((await send('GET', 'tables/t', undefined, { 'if-none-match': info })).statusCode).toBe(200)
    for (const tag of [info, state])
      expect((await send('PATCH', 'tables/t', { fill_value: 2 }, { 'if-match': tag })).statusCode).toBe(412)
    for (const tag of [rows, data, '"1-0-1"'])
      expect(
        (await send('POST', 'tables/t/rows', { ...set, indices: [], values: [] }, { 'if-match': tag }))
          .statusCode,
      ).toBe(200)
  })

  test('of the description changes when a table returns to a version that it had', async () => {
    await put(1)
    await put(2)
    const seen = new Set<string>()
    for (const version of [1, 2, 1]) {
      await send('POST', 'tables/t/rollback', { version })
      seen.add((await tags())[1])
    }
    expect(seen.size).toBe(3)
  })

  test('that was read under an alias names its table, because the alias may read another', async () => {
    await put(1)
    await send('PUT', 'tables/other', { values: [[2]] })
    await send('PUT', 'aliases/live', { table: 't' })
    const before = await Promise.all(['', '/data'].map((path) => send('GET', `tables/live${path}`)))
    await send('PUT', 'aliases/live', { table: 'other' })
    for (const [i, path] of ['', '/data'].entries()) {
      const header = { 'if-none-match': String(before[i].headers.etag) }
      expect((await send('GET', `tables/live${path}`, undefined, header)).statusCode).toBe(200)
    }
    await send('DELETE', 'aliases/live')
  })
})

describe('A weak tag', () => {
  test('matches in If-None-Match, on a change as well, and never in If-Match', async () => {
    await put(1)
    for (const tag of (await tags()).map((one) => `W/${one}`)) {
      const unless = await send('PUT', 'tables/t', { values: [[3]] }, { 'if-none-match': tag })
      expect([tag, unless.statusCode]).toEqual([tag, 412])
      const only = await send('PUT', 'tables/t', { values: [[3]] }, { 'if-match': tag })
      expect([tag, only.statusCode]).toEqual([tag, 412])
    }
    const info = await send('GET', 'tables/t', undefined, { 'if-none-match': 'W/"1-0-0"' })
    expect(info.statusCode).toBe(304)
  })
})

test('A tag of a format that there is not matches nothing', async () => {
  await put(1)
  expect((await send('POST', 'tables/t/rows', set, { 'if-match': '"1-0.zip"' })).statusCode).toBe(412)
  expect((await send('POST', 'tables/t/rows', set, { 'if-match': '"1-0.raw"' })).statusCode).toBe(200)
})

describe('Pages of rows and adapters', () => {
  const paths = ['tables/t/rows', 'tables/t/lora']

  test('are 304 with the headers of the 200 while nothing has changed', async () => {
    await put(1)
    for (const path of paths) {
      const { headers } = await send('GET', path)
      for (const tag of [`${headers.etag}`, `W/${headers.etag}`, '*']) {
        const again = await send('GET', path, undefined, { 'if-none-match': tag })
        expect([again.statusCode, again.body]).toEqual([304, ''])
        for (const name of ['etag', 'cache-control', 'x-table-version', 'x-table-sequence'])
          expect(again.headers[name], name).toBe(headers[name])
      }
      expect((await send('GET', path, undefined, { 'if-match': '"7"' })).statusCode).toBe(412)
    }
    const { headers } = await send('POST', 'tables/t/rows', set)
    for (const path of paths) {
      const changed = await send('GET', path, undefined, { 'if-none-match': '"1-0"' })
      expect([changed.statusCode, changed.headers.etag]).toEqual([200, headers.etag])
    }
  })

  test('read under an alias have tags that name the table', async () => {
    await put(1)
    await send('PUT', 'aliases/x', { table: 't' })
    for (const path of ['tables/x/rows', 'tables/x/lora'])
      expect((await send('GET', path)).headers.etag).toBe('"1-0@t"')
  })
})
