/** The numbers that a lookup makes up or computes beside the rows as they are stored. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readSafetensors } from '../../../src/formats/safetensors.ts'
import { type Service, startService } from '../../helpers/service.ts'
import { encodeTensors } from './adapters.ts'

const RAW = 'application/octet-stream'
const SAFETENSORS = 'application/x-safetensors'
const VALUES = [
  [1, 2],
  [3, 4],
]

let service: Service
beforeAll(async () => {
  service = await startService()
  for (const dtype of ['float32', 'float16', 'bfloat16', 'int8'])
    await service.app.inject({
      method: 'PUT',
      url: `/v1/tables/${dtype}`,
      payload: { values: VALUES, dtype, out_of_range: 'fill', fill_value: 0.1 },
    })
})
afterAll(() => service.close())

const post = (url: string, payload: object | Buffer, headers: Record<string, string> = {}) =>
  service.app.inject({ method: 'POST', url, payload, headers })
/** The rows of a JSON lookup, from its own route and from the one for several tables. */
const rowsOf = async (table: string, body: object): Promise<unknown> => {
  const one = await post(`/v1/tables/${table}/lookup`, body)
  const several = await post('/v1/lookup', { lookups: [{ table, ...body }] })
  const { embeddings } = one.json<{ embeddings: unknown }>()
  expect(several.json<{ results: unknown[] }>().results).toMatchObject([{ embeddings }])
  return embeddings
}

describe("The fill value is a number of the answer's dtype", () => {
  test.each([
    ['float32', 0.1, 0.1],
    ['float16', 0.1, 0.099975586],
    ['bfloat16', 0.1, 0.100097656],
    ['float16', 70_000, null],
    ['bfloat16', 70_000, 70_144],
    ['bfloat16', 3.4e38, null],
    ['float16', -1e-9, -0],
    ['float16', null, null],
  ])('%s: %d becomes %d in JSON, whatever the table stores', async (dtype, fill_value, printed) => {
    for (const table of ['float32', 'float16', 'bfloat16', 'int8']) {
      expect(await rowsOf(table, { indices: [9, 0], fill_value, dtype }), table).toEqual([
        [printed, printed],
        [1, 2],
      ])
      if (table === dtype)
        expect(await rowsOf(table, { indices: 9, fill_value, dtype: 'native' })).toEqual([printed, printed])
    }
  })

  test('also where it is the setting of the table, in binary answers and in bags', async () => {
    const [float16, bfloat16] = [0.099975586, 0.100097656]
    for (const [dtype, value] of Object.entries({ float16, bfloat16 })) {
      expect(await rowsOf(dtype, { indices: [9], dtype: 'native' })).toEqual([[value, value]])
      expect(await rowsOf(dtype, { indices: [[9]], dtype, pooling: 'mean' })).toEqual([[value, value]])
      const ids = Buffer.from(Int32Array.of(9, 9).buffer)
      const url = `/v1/tables/${dtype}/lookup?dtype=native`
      const binary = await post(url, ids, { 'content-type': RAW, accept: RAW })
      const bits = new Uint16Array(Uint8Array.from(binary.rawPayload).buffer)
      const wanted = dtype === 'float16' ? 0x2e66 : 0x3dcd
      expect([...bits]).toEqual([wanted, wanted, wanted, wanted])
    }
    expect(await rowsOf('float16', { indices: [9] })).toEqual([[0.1, 0.1]])
  })
})

describe('A bag', () => {
  test('of max is NaN for a missing id wherever it stands, and keeps the rule for a stored NaN', async () => {
    const max = (indices: number[][], fill_value: number | null) =>
      rowsOf('float32', { indices, mode: 'fill', fill_value, pooling: 'max' })
    for (const bag of [
      [1, 99],
      [99, 1],
      [0, 99, 1],
    ])
      expect(await max([bag], null)).toEqual([[null, null]])
    expect(await max([[1, 99], [0, 1], [99, 0], []], 3.5)).toEqual([
      [3.5, 4],
      [3, 4],
      [3.5, 3.5],
      [0, 0],
    ])
    await service.app.inject({
      method: 'PUT',
      url: '/v1/tables/stored?allow_non_finite=true&rows=2&dim=1',
      payload: Buffer.from(Float32Array.of(NaN, 5).buffer),
      headers: { 'content-type': RAW },
    })
    const answer = await rowsOf('stored', {
      indices: [
        [0, 1],
        [1, 0],
      ],
      pooling: 'max',
    })
    expect(answer).toEqual([[null], [5]])
  })

  test.each([1e20, 3e38, 1e-25, 1e-45])('of equal weights %d is that of weights of one', async (weight) => {
    const pool = (pooling: string, weights?: number[][]) =>
      rowsOf('float32', { indices: [[0, 1]], pooling, weights })
    for (const pooling of ['mean', 'sqrtn']) {
      const [row] = (await pool(pooling, [[weight, weight]])) as number[][]
      const [wanted] = (await pool(pooling)) as number[][]
      row.forEach((number, k) => expect(number / wanted[k]).toBeCloseTo(1, 6))
    }
    expect(await pool('mean', [[weight, -weight]])).toEqual([[0, 0]])
  })
})

describe('An answer for several tables as safetensors', () => {
  const ask = async (query: string) => {
    const body = encodeTensors({
      'float32/indices': { shape: [2], values: [1, 7], elementType: 'int32' },
      'float16/indices': { shape: [1, 2], values: [0, 1], elementType: 'int32' },
    })
    const url = `/v1/lookup?mode=fill&fill_value=0.1&${query}`
    const answer = await post(url, body, { 'content-type': SAFETENSORS, accept: SAFETENSORS })
    expect(answer.statusCode).toBe(200)
    return readSafetensors(answer.rawPayload)
  }

  test('has a mask of each table', async () => {
    const tensors = await ask('mask=true&padding_index=0')
    expect([...tensors.keys()]).toEqual([
      'float32/embeddings',
      'float16/embeddings',
      'float32/mask',
      'float16/mask',
    ])
    expect(tensors.get('float32/mask')).toMatchObject({ shape: [2], data: Uint8Array.of(1, 0) })
    expect(tensors.get('float16/mask')).toMatchObject({ shape: [1, 2], data: Uint8Array.of(0, 1) })
  })

  test('rounds the fill value with the rows', async () => {
    const { data } = (await ask('dtype=float16')).get('float32/embeddings') ?? {}
    expect([...new Float16Array(Uint8Array.from(data ?? []).buffer)]).toEqual([
      3, 4, 0.0999755859375, 0.0999755859375,
    ])
  })
})

test('A float16 answer of more than half the limit in float32 numbers is sent', async () => {
  const dim = 16_384
  await service.app.inject({
    method: 'PUT',
    url: '/v1/tables/wide',
    payload: { rows: 1, dim, initializer: { kind: 'constant', value: 0.1 } },
  })
  const ids = Buffer.alloc(1_100 * 4)
  const headers = { 'content-type': RAW, accept: RAW }
  const narrow = await post('/v1/tables/wide/lookup?dtype=float16', ids, headers)
  expect(narrow.statusCode).toBe(200)
  expect(narrow.rawPayload.length).toBe(1_100 * dim * 2)
  expect((await post('/v1/tables/wide/lookup', ids, headers)).statusCode).toBe(413)
})
