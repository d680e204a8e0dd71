import { createHash } from 'node:crypto'
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import type { Dtype } from '../../../src/core/types.ts'
import { removeTables, type Service, startService } from '../../helpers/service.ts'
import { type Adapter, adapt, encodeTensors, lookUp, numbers, putAdapter } from './adapters.ts'

const ROWS = 50
const DIM = 19
const RANK = 3
const IDS = [7, 0, 49, 7, 21]

let service: Service
beforeAll(async () => {
  service = await startService()
})
afterEach(async () => {
  await removeTables(service)
  expect(service.writerErrors).toEqual([])
})
afterAll(() => service.close())

const inject = (method: 'GET' | 'POST' | 'DELETE' | 'PATCH', path: string, payload?: object, headers = {}) =>
  service.app.inject({ method, url: `/v1/tables/t${path}`, payload, headers })

const putTable = (dtype: Dtype = 'float32', seed = 1, query = '') =>
  service.app.inject({
    method: 'PUT',
    url: `/v1/tables/t?dtype=${dtype}${query}`,
    payload: encodeTensors({ e: { shape: [ROWS, DIM], values: numbers(ROWS * DIM, seed) } }),
    headers: { 'content-type': 'application/x-safetensors' },
  })

const makeAdapter = (seed = 2, rank = RANK, alpha = 16): Adapter => ({
  a: numbers(ROWS * rank, seed),
  b: numbers(rank * DIM, seed + 1),
  rank,
  alpha,
})

const attach = ({ a, b, rank, alpha }: Adapter, headers = {}) =>
  putAdapter(
    service,
    { a: { shape: [ROWS, rank], values: a }, b: { shape: [rank, DIM], values: b } },
    `?alpha=${alpha}`,
    headers,
  )

describe('An adapter', () => {
  test.each<Dtype>(['float32', 'float16', 'bfloat16', 'int8'])(
    'is added to the rows of a %s table, to the bit',
    async (dtype) => {
      await putTable(dtype)
      const base = await lookUp(service, IDS)
      const adapter = makeAdapter()
      const answer = await attach(adapter)
      expect([answer.statusCode, answer.headers.etag]).toEqual([201, '"1-1"'])
      expect(answer.json()).toEqual({
        table: 't',
        version: 1,
        sequence: 1,
        lora: {
          rank: RANK,
          alpha: 16,
          dtype: 'float32',
          bytes: ROWS * RANK * 4 + RANK * DIM * 4,
          attached_at: expect.any(String),
        },
      })
      expect(await lookUp(service, IDS)).toEqual(adapt(base, IDS, DIM, adapter))
    },
  )

  test.each(['float16', 'bfloat16', 'float64'] as const)('may be uploaded as %s', async (elementType) => {
    await putTable()
    const base = await lookUp(service, IDS)
    const adapter = makeAdapter()
    const { a, b } = adapter
    const alpha = { shape: [], values: [16], elementType }
    const tensors = {
      alpha,
      b: { shape: [RANK, DIM], values: b, elementType },
      a: { shape: [ROWS, RANK], values: a, elementType },
    }
    const { lora } = (await putAdapter(service, tensors)).json()
    expect(lora).toMatchObject({ alpha: 16, dtype: elementType === 'float64' ? 'float32' : elementType })
    expect(await lookUp(service, IDS)).toEqual(adapt(base, IDS, DIM, adapter))
  })

  test('takes its alpha from an array of one integer', async () => {
    await putTable()
    const { a, b } = makeAdapter()
    const tensors = { a: { shape: [ROWS, RANK], values: a }, b: { shape: [RANK, DIM], values: b } }
    const alpha = { shape: [1], values: [-3], elementType: 'int64' as const }
    expect((await putAdapter(service, { ...tensors, alpha })).json().lora.alpha).toBe(-3)
  })

  test('applies to answers of 16 bits, to JSON, and to lookups in several tables', async () => {
    await putTable('float16')
    const base = await lookUp(service, IDS)
    const adapter = makeAdapter()
    await attach(adapter)
    const wanted = adapt(base, IDS, DIM, adapter)
    const narrow = await inject('POST', '/lookup', { indices: IDS, dtype: 'float16' })
    expect(narrow.json().embeddings.flat().map(Math.fround)).toEqual(Array.from(new Float16Array(wanted)))
    const both = { lookups: [{ table: 't', indices: IDS }] }
    const several = await service.app.inject({ method: 'POST', url: '/v1/lookup', payload: both })
    expect(several.json().results[0].embeddings.flat().map(Math.fround)).toEqual(Array.from(wanted))
  })

  test('does not change the fill rows of mode fill', async () => {
    await putTable()
    const base = await lookUp(service, [7])
    const adapter = makeAdapter()
    await attach(adapter)
    const rows = await lookUp(service, [ROWS, 7 - ROWS, 7], '?mode=fill&fill_value=5')
    const adapted = adapt(base, [7], DIM, adapter)
    expect(Array.from(rows)).toEqual([...Array.from({ length: DIM }, () => 5), ...adapted, ...adapted])
  })

  test.each(['sum', 'mean', 'max', 'sqrtn'])('is added before rows are pooled by %s', async (pooling) => {
    await putTable('bfloat16')
    const adapter = makeAdapter()
    await attach(adapter)
    const nested = [[1, 2, 3], [], [4], [5, 48]]
    const pooled = (await inject('POST', '/lookup', { indices: nested, pooling, padding_index: 3 })).json()
      .embeddings
    // The adapted rows are uploaded as a second table, whose pooled rows must be equal.
    const rows = await lookUp(
      service,
      Array.from({ length: ROWS }, (_, i) => i),
    )
    await service.app.inject({
      method: 'PUT',
      url: '/v1/tables/merged',
      payload: encodeTensors({ e: { shape: [ROWS, DIM], values: rows } }),
      headers: { 'content-type': 'application/x-safetensors' },
    })
    const payload = { indices: nested, pooling, padding_index: 3 }
    const expected = await service.app.inject({ method: 'POST', url: '/v1/tables/merged/lookup', payload })
    expect(pooled).toEqual(expected.json().embeddings)
  })

  test('is replaced by another one, and lookups return the original rows after its deletion', async () => {
    await putTable()
    const base = await lookUp(service, IDS)
    await attach(makeAdapter())
    const second = makeAdapter(9, 5, 0.5)
    const replaced = await attach(second)
    expect([replaced.statusCode, replaced.headers.etag, replaced.json().lora.rank]).toEqual([200, '"1-2"', 5])
    expect(await lookUp(service, IDS)).toEqual(adapt(base, IDS, DIM, second))
    expect((await inject('DELETE', '/lora')).statusCode).toBe(204)
    expect(await lookUp(service, IDS)).toEqual(base)
    const described = await inject('GET', '/lora')
    expect([described.headers.etag, described.json()]).toEqual([
      '"1-3"',
      { table: 't', version: 1, sequence: 3, lora: null },
    ])
  })

  test('that does not exist is deleted without a change', async () => {
    await putTable()
    expect((await inject('DELETE', '/lora')).statusCode).toBe(204)
    expect((await inject('GET', '')).headers.etag).toBe('"1-0-0"')
  })

  test('belongs to its version: a replacement has none, and the previous version keeps it', async () => {
    await putTable()
    const base = await lookUp(service, IDS)
    const adapter = makeAdapter()
    await attach(adapter)
    await putTable('float32', 77)
    expect((await inject('GET', '/lora')).json()).toMatchObject({ version: 2, lora: null })
    expect(await lookUp(service, IDS, '?version=1')).toEqual(adapt(base, IDS, DIM, adapter))
    expect(
      (
        await inject('POST', '/rows', {
          op: 'set',
          indices: [0],
          values: [Array.from({ length: DIM }, () => 1)],
        })
      ).statusCode,
    ).toBe(200)
  })

  test('can be attached to a table without rows', async () => {
    await service.app.inject({ method: 'PUT', url: '/v1/tables/t', payload: { rows: 0, dim: 2 } })
    const tensors = { a: { shape: [0, 1], values: [] }, b: { shape: [1, 2], values: [1, 2] } }
    expect((await putAdapter(service, tensors, '?alpha=1')).statusCode).toBe(201)
    expect(Array.from(await lookUp(service, [3], '?mode=fill&fill_value=1'))).toEqual([1, 1])
  })

  test('is verified against its digest', async () => {
    await putTable()
    const { a, b } = makeAdapter()
    const body = encodeTensors({
      a: { shape: [ROWS, RANK], values: a },
      b: { shape: [RANK, DIM], values: b },
    })
    const digest = (bytes: string | Buffer) => ({
      'content-digest': `sha-256=:${createHash('sha256').update(bytes).digest('base64')}:`,
    })
    const send = (headers: object) =>
      service.app.inject({
        method: 'PUT',
        url: '/v1/tables/t/lora?alpha=1',
        payload: body,
        headers: { 'content-type': 'application/x-safetensors', ...headers },
      })
    expect((await send(digest('other'))).json()).toMatchObject({ status: 422, code: 'DIGEST_MISMATCH' })
    expect((await inject('GET', '/lora')).json()).toMatchObject({ sequence: 0, lora: null })
    expect((await send(digest(body))).statusCode).toBe(201)
  })
})

describe('Merging an adapter', () => {
  test.each<Dtype>(['float32', 'float16', 'bfloat16', 'int8'])(
    'makes a version of the rows that lookups return, as %s',
    async (dtype) => {
      await putTable(dtype, 1, '&out_of_range=wrap')
      await attach(makeAdapter())
      const all = Array.from({ length: ROWS }, (_, i) => i)
      const adapted = await lookUp(service, all)
      const answer = await inject('POST', '/lora/merge')
      expect([answer.statusCode, answer.headers.etag]).toEqual([200, '"2-0-0"'])
      expect(answer.json()).toMatchObject({ name: 't', version: 2, dtype, rows: ROWS, out_of_range: 'wrap' })
      // An upload of the same numbers must store the same bytes.
      await service.app.inject({
        method: 'PUT',
        url: `/v1/tables/same?dtype=${dtype}`,
        payload: encodeTensors({ e: { shape: [ROWS, DIM], values: adapted } }),
        headers: { 'content-type': 'application/x-safetensors' },
      })
      const download = async (name: string) =>
        (await service.app.inject({ url: `/v1/tables/${name}/data` })).rawPayload
      expect(await download('t')).toEqual(await download('same'))
      expect((await inject('GET', '/lora')).json()).toMatchObject({ version: 2, sequence: 0, lora: null })
      expect(await lookUp(service, all, '?version=1')).toEqual(adapted)
    },
  )

  test('covers all segments in several tasks, after which updates are accepted again', async () => {
    const shared = service
    service = await startService({ segmentBytesMax: 65_536 })
    onTestFinished(async () => {
      await service.close()
      service = shared
    })
    const rows = 6_000
    await service.app.inject({
      method: 'PUT',
      url: '/v1/tables/t',
      payload: { rows, dim: 16, initializer: { kind: 'normal', seed: 3 } },
    })
    const adapter = { a: numbers(rows * 2, 5), b: numbers(2 * 16, 6), rank: 2, alpha: 2 }
    const all = Array.from({ length: rows }, (_, i) => i)
    const base = await lookUp(service, all)
    await putAdapter(
      service,
      { a: { shape: [rows, 2], values: adapter.a }, b: { shape: [2, 16], values: adapter.b } },
      '?alpha=2',
    )
    const wanted = adapt(base, all, 16, adapter)
    expect(await lookUp(service, all)).toEqual(wanted)
    expect((await inject('POST', '/lora/merge')).statusCode).toBe(200)
    expect(await lookUp(service, all)).toEqual(wanted)
    const step = await inject('POST', '/gradients', {
      indices: [0],
      gradients: [Array.from({ length: 16 }, () => 1)],
    })
    expect(step.json()).toMatchObject({ version: 2, sequence: 1 })
  })
})
