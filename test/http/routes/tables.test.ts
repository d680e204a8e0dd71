import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Settings, TableInfo } from '../../../src/core/types.ts'
import { removeTables, type Service, startService } from '../../helpers/service.ts'

let service: Service
beforeAll(async () => {
  service = await startService()
})
afterEach(() => removeTables(service))
afterAll(() => service.close())

const put = (table: string, payload: object, headers = {}) =>
  service.app.inject({ method: 'PUT', url: `/v1/tables/${table}`, payload, headers })
const get = (url: string, headers = {}) => service.app.inject({ url, headers })
const patch = (payload: object, headers = {}) =>
  service.app.inject({ method: 'PATCH', url: '/v1/tables/t', payload, headers })
const small = {
  values: [
    [1, 2],
    [3, 4],
  ],
}

describe('a table from a specification', () => {
  test('is created with 201 and a Location, replaced with 200', async () => {
    const created = await put('t', small)
    expect(created.statusCode).toBe(201)
    expect(created.headers).toMatchObject({
      location: '/v1/tables/t',
      etag: '"1-0-0"',
      'x-table-version': '1',
      'x-table-sequence': '0',
    })
    expect(created.json()).toMatchObject({
      name: 't',
      version: 1,
      sequence: 0,
      rows: 2,
      dim: 2,
      dtype: 'float32',
      bytes: 16,
    })
    const replaced = await put('t', {
      rows: 3,
      dim: 1,
      dtype: 'float16',
      initializer: { kind: 'constant', value: 0.5 },
    })
    expect(replaced.statusCode).toBe(200)
    expect(replaced.headers.location).toBeUndefined()
    expect(replaced.headers.etag).toBe('"2-0-0"')
    expect(replaced.json()).toMatchObject({ version: 2, rows: 3, dim: 1, dtype: 'float16', bytes: 6 })
    expect((await get('/v1/tables/t/rows')).json()).toEqual({
      rows: [0, 1, 2].map((index) => ({ index, embedding: [0.5] })),
    })
  })

  test('has the default settings of the contract', async () => {
    const { out_of_range, fill_value, padding_index, optimizer, durability, keep_versions } = (
      await put('t', small)
    ).json<TableInfo>()
    expect({ out_of_range, fill_value, padding_index, optimizer, durability, keep_versions }).toEqual({
      out_of_range: 'error',
      fill_value: null,
      padding_index: null,
      optimizer: { kind: 'sgd', learning_rate: 0.01 },
      durability: 'disk',
      keep_versions: 2,
    })
  })

  test('keeps its settings when its data is replaced, except those in the request', async () => {
    await put('t', { ...small, out_of_range: 'clip', fill_value: 7, optimizer: { kind: 'adagrad' } })
    const replaced = (await put('t', { ...small, padding_index: -1 })).json<TableInfo>()
    expect(replaced).toMatchObject({
      out_of_range: 'clip',
      fill_value: 7,
      padding_index: -1,
      optimizer: { kind: 'adagrad' },
    })
  })

  test('contains zeros without an initializer, and equal numbers for equal seeds', async () => {
    await put('zeros', { rows: 2, dim: 2 })
    expect((await get('/v1/tables/zeros/rows')).json().rows[1]).toEqual({ index: 1, embedding: [0, 0] })
    for (const table of ['a', 'b'])
      await put(table, { rows: 5, dim: 3, initializer: { kind: 'normal', seed: 11 } })
    expect((await get('/v1/tables/a/data')).body).toBe((await get('/v1/tables/b/data')).body)
  })

  test('may state rows and dim beside values of that shape', async () => {
    expect((await put('t', { rows: 2, dim: 2, ...small })).statusCode).toBe(201)
  })

  test('prints rows as the shortest decimals that read back to the same float32', async () => {
    const headers = { 'content-type': 'application/json' }
    await service.app.inject({
      method: 'PUT',
      url: '/v1/tables/t',
      payload: '{"values":[[0.1,1e-45,16777216,-0]]}',
      headers,
    })
    expect((await get('/v1/tables/t/rows')).body).toBe(
      '{"rows":[{"index":0,"embedding":[0.1,1e-45,16777216,-0]}]}',
    )
  })
})

describe('table settings', () => {
  test('can be changed one by one, with an effect on the next lookup', async () => {
    await put('t', small)
    const changed = await patch({ out_of_range: 'fill', fill_value: 9 })
    expect(changed.statusCode).toBe(200)
    expect(changed.json()).toMatchObject({
      out_of_range: 'fill',
      fill_value: 9,
      durability: 'disk',
      version: 1,
      sequence: 0,
    })
    const lookup = await service.app.inject({
      method: 'POST',
      url: '/v1/tables/t/lookup',
      payload: { indices: [5] },
    })
    expect(lookup.json().embeddings).toEqual([[9, 9]])
    expect((await patch({ fill_value: null, keep_versions: 3, durability: 'os' })).json()).toMatchObject({
      fill_value: null,
      keep_versions: 3,
      durability: 'os',
    })
    expect((await patch({})).json()).toMatchObject({ out_of_range: 'fill', keep_versions: 3 })
  })

  test.each<[object, Settings['optimizer']]>([
    [{ kind: 'sgd' }, { kind: 'sgd', learning_rate: 0.01 }],
    [
      { kind: 'momentum', momentum: 0.9 },
      { kind: 'momentum', learning_rate: 0.01, momentum: 0.9, nesterov: false },
    ],
    [
      { kind: 'adagrad' },
      {
        kind: 'adagrad',
        learning_rate: 0.01,
        initial_accumulator: 0,
        epsilon: 1e-10,
        epsilon_inside_sqrt: false,
      },
    ],
    [
      { kind: 'rowwise_adagrad', learning_rate: 1 },
      {
        kind: 'rowwise_adagrad',
        learning_rate: 1,
        initial_accumulator: 0,
        epsilon: 1e-8,
        epsilon_inside_sqrt: false,
      },
    ],
    [
      { kind: 'adam', learning_rate: 0.01, lazy: true },
      { kind: 'adam', learning_rate: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-8 },
    ],
    [
      { kind: 'sgd', weight_decay: 0.1, constraint: { kind: 'unit_norm' } },
      { kind: 'sgd', learning_rate: 0.01, weight_decay: 0.1, constraint: { kind: 'unit_norm' } },
    ],
    [
      { kind: 'sgd', max_norm: 2 },
      { kind: 'sgd', learning_rate: 0.01, constraint: { kind: 'max_norm', value: 2 } },
    ],
  ])('complete the optimizer %j to %j', async (optimizer, complete) => {
    await put('t', small)
    expect((await patch({ optimizer })).json().optimizer).toEqual(complete)
  })

  test.each([
    { kind: 'adam', beta1: 1 },
    { kind: 'adam', lazy: false },
    { kind: 'sgd', momentum: 0.9 },
    { kind: 'sgd', learning_rate: -1 },
    { kind: 'lamb' },
    { learning_rate: 1 },
    'adam',
    null,
  ])('refuse the optimizer %j', async (optimizer) => {
    await put('t', small)
    expect((await patch({ optimizer })).json()).toMatchObject({ code: 'INVALID_REQUEST' })
  })
})

describe('conditional requests', () => {
  test('restrict PUT to a new table, or to the replacement of a known version', async () => {
    expect((await put('t', small, { 'if-none-match': '*' })).statusCode).toBe(201)
    expect((await put('t', small, { 'if-none-match': '*' })).statusCode).toBe(412)
    expect((await put('t', small, { 'if-match': '"1-0"' })).headers.etag).toBe('"2-0-0"')
    expect((await put('t', small, { 'if-match': '"1-0", "2"' })).headers.etag).toBe('"3-0-0"')
    expect((await put('u', small, { 'if-match': '*' })).statusCode).toBe(412)
  })

  test('apply to PATCH and DELETE, which change nothing on 412', async () => {
    await put('t', small)
    expect((await patch({ fill_value: 1 }, { 'if-match': '"2"' })).statusCode).toBe(412)
    expect(
      (await service.app.inject({ method: 'DELETE', url: '/v1/tables/t', headers: { 'if-match': '"1-1"' } }))
        .statusCode,
    ).toBe(412)
    expect((await get('/v1/tables/t')).json()).toMatchObject({ fill_value: null })
    expect((await patch({ fill_value: 1 }, { 'if-match': '"1"' })).statusCode).toBe(200)
    const deleted = await service.app.inject({
      method: 'DELETE',
      url: '/v1/tables/t',
      headers: { 'if-match': '"1-0"' },
    })
    expect([deleted.statusCode, deleted.body]).toEqual([204, ''])
    expect((await get('/v1/tables/t')).statusCode).toBe(404)
  })

  test('are answered with 304 when the client has the current state', async () => {
    await put('t', small)
    const whole = await get('/v1/tables/t')
    for (const sent of ['"1-0-0"', 'W/"1-0-0"', 'W/"7-7-7", "1-0-0"', '*']) {
      const same = await get('/v1/tables/t', { 'if-none-match': sent })
      expect([sent, same.statusCode, same.body]).toEqual([sent, 304, ''])
      for (const name of ['etag', 'cache-control', 'x-table-version', 'x-table-sequence'])
        expect([name, same.headers[name]]).toEqual([name, whole.headers[name]])
    }
    for (const other of ['"1"', '"1-0"', '"1-0.npy"', '"1-0-1"', '"01-0-0"'])
      expect((await get('/v1/tables/t', { 'if-none-match': other })).statusCode).toBe(200)
    expect((await get('/v1/tables/t', { 'if-match': '"1"' })).statusCode).toBe(200)
    expect((await get('/v1/tables/t', { 'if-match': '"2"' })).statusCode).toBe(412)
  })
})

describe('the list of tables', () => {
  test('is in the order of the names, page by page', async () => {
    for (const name of ['b', 'a10', 'a.1', 'B', 'a']) await put(name, { rows: 1, dim: 1 })
    const whole = await get('/v1/tables')
    expect(whole.json().tables.map(({ name }: TableInfo) => name)).toEqual(['B', 'a', 'a.1', 'a10', 'b'])
    expect(whole.json().next).toBeNull()
    expect(whole.headers.link).toBeUndefined()
    const names: string[] = []
    let url: string | undefined = '/v1/tables?limit=2'
    while (url !== undefined) {
      const page = await get(url)
      names.push(...page.json().tables.map(({ name }: TableInfo) => name))
      url = /^<(.*)>; rel="next"$/.exec(String(page.headers.link ?? ''))?.[1]
      expect(url === undefined).toBe(page.json().next === null)
    }
    expect(names).toEqual(['B', 'a', 'a.1', 'a10', 'b'])
  })

  test('continues behind the last name when tables are created and deleted', async () => {
    for (const name of ['a', 'b', 'c']) await put(name, { rows: 1, dim: 1 })
    const { next } = (await get('/v1/tables?limit=2')).json()
    await service.app.inject({ method: 'DELETE', url: '/v1/tables/b' })
    await put('aa', { rows: 1, dim: 1 })
    expect(
      (await get(`/v1/tables?limit=2&cursor=${next}`)).json().tables.map(({ name }: TableInfo) => name),
    ).toEqual(['c'])
  })

  test('is empty without tables', async () => {
    expect((await get('/v1/tables')).json()).toEqual({ tables: [], next: null })
  })
})

test('Rows are listed page by page, with none beyond the last', async () => {
  await put('t', { values: [[1], [2], [3]] })
  expect((await get('/v1/tables/t/rows?offset=1&limit=1')).json()).toEqual({
    rows: [{ index: 1, embedding: [2] }],
  })
  expect((await get('/v1/tables/t/rows?offset=2&limit=1000')).json()).toEqual({
    rows: [{ index: 2, embedding: [3] }],
  })
  expect((await get('/v1/tables/t/rows?offset=3')).json()).toEqual({ rows: [] })
  expect((await get('/v1/tables/t/rows')).headers).toMatchObject({
    etag: '"1-0"',
    'content-type': 'application/json; charset=utf-8',
  })
})

test('Tables may have the names of Object.prototype', async () => {
  for (const name of ['constructor', 'toString', 'hasOwnProperty']) {
    expect((await get(`/v1/tables/${name}`)).statusCode).toBe(404)
    expect((await put(name, small)).statusCode).toBe(201)
    expect((await get(`/v1/tables/${name}`)).json().name).toBe(name)
  }
})
