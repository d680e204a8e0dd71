import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { findNamedArrays, formatNames, registerFormat } from '../../src/formats/format.ts'
import { readToy, toyBody, TOY } from './toy-format.ts'
import type { Service } from '../helpers/service.ts'

const TYPE = TOY.mediaType
let service: Service
let unregister: () => void

// The app derives its tables from the registry when it is loaded, so the format is registered before that.
beforeAll(async () => {
  vi.resetModules()
  const registry = await import('../../src/formats/format.ts')
  unregister = registry.registerFormat(TOY)
  const { startService } = await import('../helpers/service.ts')
  service = await startService()
})
afterAll(async () => {
  await service.close()
  unregister()
  vi.resetModules()
})

const VALUES = Float32Array.of(1, 2, 3, 4, 5, 6)
const rowsBody = () => toyBody({ rows: { shape: [3, 2], data: VALUES } })
const send = (
  method: 'POST' | 'PUT' | 'GET',
  url: string,
  payload?: Buffer | object,
  headers: Record<string, string> = {},
) =>
  service.app.inject({
    method,
    url,
    ...(payload !== undefined && { payload }),
    headers: { ...(Buffer.isBuffer(payload) && { 'content-type': TYPE }), ...headers },
  })
const numbersOf = (body: Buffer, name: string) => {
  const array = readToy(body).get(name)
  return array && { shape: array.shape, numbers: [...new Float32Array(Uint8Array.from(array.data).buffer)] }
}

describe('A format that is a row of the registry', () => {
  beforeAll(async () => {
    const answer = await send('PUT', '/v1/tables/toy', rowsBody())
    expect(answer.json()).toMatchObject({ rows: 3, dim: 2, dtype: 'float32' })
    expect(answer.statusCode).toBe(201)
  })

  test('is uploaded, in one body or in parts', async () => {
    const begun = await send('POST', '/v1/tables/parts/uploads', { content_type: TYPE })
    expect(begun.json()).toMatchObject({ content_type: TYPE })
    const { upload } = begun.json<{ upload: string }>()
    const path = `/v1/tables/parts/uploads/${upload}`
    const body = rowsBody()
    await send('PUT', `${path}/parts/0`, body.subarray(0, 20))
    await send('PUT', `${path}/parts/1`, body.subarray(20))
    expect((await send('POST', `${path}/commit`)).json()).toMatchObject({ rows: 3, dim: 2 })
  })

  test('is checked to its tail when it is uploaded', async () => {
    const cut = await send('PUT', '/v1/tables/cut', rowsBody().subarray(0, -1))
    expect(cut.json()).toMatchObject({ code: 'MALFORMED_BODY' })
    const stray = await send('PUT', '/v1/tables/cut?rows=3&dim=2', rowsBody())
    expect(stray.json()).toMatchObject({ code: 'INVALID_REQUEST' })
  })

  test('asks for rows, and answers them, mask included', async () => {
    const ids = toyBody({ indices: { shape: [2], data: Int32Array.of(2, 0) } })
    const answer = await send('POST', '/v1/tables/toy/lookup', ids, { accept: TYPE })
    expect(answer.headers).toMatchObject({ 'content-type': TYPE, 'x-shape': '2,2', 'x-dtype': 'float32' })
    expect(numbersOf(answer.rawPayload, 'embeddings')).toEqual({ shape: [2, 2], numbers: [5, 6, 1, 2] })
    const masked = await send('POST', '/v1/tables/toy/lookup?mask=true', ids, { accept: TYPE })
    expect([...(readToy(masked.rawPayload).get('mask')?.data ?? [])]).toEqual([1, 1])
    const json = await send('POST', '/v1/tables/toy/lookup', ids)
    expect(json.json()).toMatchObject({
      embeddings: [
        [5, 6],
        [1, 2],
      ],
    })
  })

  test('answers a long lookup piece by piece, up to its tail', async () => {
    const wide = { shape: [3, 64], data: Float32Array.from({ length: 192 }, (_, i) => i) }
    await send('PUT', '/v1/tables/wide', toyBody({ wide }))
    const indices = Int32Array.from({ length: 10_000 }, (_, i) => i % 3)
    const ids = toyBody({ indices: { shape: [indices.length], data: indices } })
    const answer = await send('POST', '/v1/tables/wide/lookup', ids, { accept: TYPE })
    expect(answer.headers['content-length']).toBe(String(answer.rawPayload.length))
    const rows = numbersOf(answer.rawPayload, 'embeddings')
    expect(rows?.shape).toEqual([10_000, 64])
    expect(rows?.numbers.slice(-2)).toEqual([62, 63])
  })

  test('lacks the dtypes that its row says', async () => {
    const accept = { accept: TYPE }
    await send('PUT', '/v1/tables/bytes', { rows: 2, dim: 2, dtype: 'int8' })
    const ids = toyBody({ indices: { shape: [1], data: Int32Array.of(0) } })
    const native = await send('POST', '/v1/tables/bytes/lookup?dtype=native', ids, accept)
    expect(native.json()).toMatchObject({ code: 'NOT_ACCEPTABLE' })
    expect((await send('GET', '/v1/tables/bytes/data', undefined, accept)).json()).toMatchObject({
      code: 'NOT_ACCEPTABLE',
    })
  })

  test('is the form of a whole table that is downloaded, optimizer state included', async () => {
    const answer = await send('GET', '/v1/tables/toy/data', undefined, { accept: TYPE })
    expect(answer.rawPayload).toEqual(toyBody({ embeddings: { shape: [3, 2], data: VALUES } }))
    expect(answer.headers['content-disposition']).toContain('toy.toy')
    expect(answer.headers['content-length']).toBe(String(answer.rawPayload.length))
    const state = await send('GET', '/v1/tables/toy/data?include=optimizer', undefined, { accept: TYPE })
    expect(readToy(state.rawPayload).has('embeddings')).toBe(true)
  })

  test('looks several tables up at once', async () => {
    const ids = toyBody({ 'toy/indices': { shape: [1], data: Int32Array.of(1) } })
    const answer = await send('POST', '/v1/lookup', ids, { accept: TYPE })
    expect(answer.headers['content-type']).toBe(TYPE)
    expect(numbersOf(answer.rawPayload, 'toy/embeddings')).toEqual({ shape: [1, 2], numbers: [3, 4] })
  })

  test('attaches an adapter', async () => {
    await send('PUT', '/v1/tables/adapted', rowsBody())
    const body = toyBody({
      a: { shape: [3, 1], data: Float32Array.of(1, 0, 0) },
      b: { shape: [1, 2], data: Float32Array.of(10, 20) },
    })
    const answer = await send('PUT', '/v1/tables/adapted/lora?alpha=1', body)
    expect(answer.json()).toMatchObject({ lora: { rank: 1 } })
  })

  test('is named where the service lists its formats', async () => {
    const document = await send('GET', '/openapi.json')
    const { paths } = document.json<{ paths: Record<string, Record<string, object>> }>()
    for (const path of ['/v1/tables/{table}/lookup', '/v1/tables/{table}/gradients', '/v1/lookup'])
      expect(JSON.stringify(paths[path].post)).toContain(TYPE)
    const options = await service.app.inject({ method: 'OPTIONS', url: '/v1/lookup' })
    expect(options.headers['accept-query']).toContain(TYPE)
    const refused = await send('POST', '/v1/tables/toy/lookup', Buffer.from('x'), {
      'content-type': 'text/plain',
    })
    expect(refused.json<{ detail: string }>().detail).toContain(TYPE)
  })
})

describe('A body that is not JSON is read by its own format', () => {
  test('in gradients and rows', async () => {
    await send('PUT', '/v1/tables/trained', rowsBody())
    const indices = { shape: [1], data: Int32Array.of(1) }
    const values = { shape: [1, 2], data: Float32Array.of(7, 8) }
    const set = await send('POST', '/v1/tables/trained/rows?op=set', toyBody({ indices, values }))
    expect(set.json()).toMatchObject({ rows_updated: 1, sequence: 1 })
    const step = toyBody({ indices, gradients: values })
    const stepped = await send('POST', '/v1/tables/trained/gradients?learning_rate=1', step)
    expect(stepped.json()).toMatchObject({ rows_updated: 1, sequence: 2 })
    const lookup = await send('POST', '/v1/tables/trained/lookup', { indices: [1] })
    expect(lookup.json()).toMatchObject({ embeddings: [[0, 0]] })
  })

  test('in attend', async () => {
    const body = toyBody({ queries: { shape: [2], data: Float32Array.of(1, 0) } })
    const answer = await send('POST', '/v1/tables/toy/attend', body, { accept: TYPE })
    expect(answer.headers['content-type']).toBe(TYPE)
    expect(numbersOf(answer.rawPayload, 'logits')).toEqual({ shape: [3], numbers: [1, 3, 5] })
    const best = await send('POST', '/v1/tables/toy/attend?top_k=1', body)
    expect(best.json()).toMatchObject({ indices: [2], scores: [5] })
  })
})

describe('The registry', () => {
  test('refuses a format without names where names are needed', () => {
    expect(() => findNamedArrays('npy')).toThrowError(
      expect.objectContaining({ code: 'UNSUPPORTED_MEDIA_TYPE' }),
    )
    expect(findNamedArrays('safetensors').mediaType).toBe('application/x-safetensors')
  })

  test('gives a registered row back, and knows each name once', () => {
    const names = formatNames()
    const undo = registerFormat(TOY)
    expect(formatNames()).toEqual([...names, 'toy'])
    expect(() => registerFormat(TOY)).toThrowError('distinct names')
    undo()
    expect(formatNames()).toEqual(names)
  })
})
