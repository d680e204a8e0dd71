import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { readSafetensors, writeSafetensorsHeader } from '../../../src/formats/safetensors.ts'
import {
  createGoldenTable,
  expectNumbers,
  flatten,
  type GoldenCase,
  type Nested,
  readSuite,
  type Send,
} from '../../golden/golden.ts'
import { removeTables, type Service, startService } from '../../helpers/service.ts'

let service: Service
beforeAll(async () => {
  service = await startService()
})
afterEach(() => removeTables(service))
afterAll(() => service.close())

const put = (table: string, payload: object) =>
  service.app.inject({ method: 'PUT', url: `/v1/tables/${table}`, payload })
const attend = (payload: object, table = 'words', query = '') =>
  service.app.inject({ method: 'POST', url: `/v1/tables/${table}/attend${query}`, payload })

const SAFETENSORS = 'application/x-safetensors'
const attendBinary = (
  tensors: {
    name: string
    elementType: 'float32' | 'float16' | 'int32'
    shape: number[]
    bytes: Uint8Array
  }[],
  query = '',
  accept = SAFETENSORS,
) =>
  service.app.inject({
    method: 'POST',
    url: `/v1/tables/words/attend${query}`,
    headers: { 'content-type': SAFETENSORS, accept },
    payload: Buffer.concat([writeSafetensorsHeader(tensors).header, ...tensors.map(({ bytes }) => bytes)]),
  })
const queriesOf = (shape: number[], ...values: number[]) => [
  {
    name: 'queries',
    elementType: 'float32' as const,
    shape,
    bytes: new Uint8Array(Float32Array.from(values).buffer),
  },
]

const VALUES = [
  [1, 2],
  [3, 4],
  [0, 0],
  [3, 4],
  [-1, 0],
]

describe('The scores of a whole table', () => {
  beforeEach(() => put('words', { values: VALUES }))

  test('have the shape of the queries, and come with their version and sequence', async () => {
    const one = await attend({ queries: [1, 10] })
    expect(one.json()).toEqual({
      table: 'words',
      version: 1,
      sequence: 0,
      shape: [5],
      logits: [21, 43, 0, 43, -1],
    })
    expect(one.headers).toMatchObject({
      etag: '"1-0"',
      'x-table-version': '1',
      'x-table-sequence': '0',
      'content-type': 'application/json; charset=utf-8',
      'cache-control': 'no-store',
    })
    expect((await attend({ queries: [[[1, 0]], [[0, 1]]] })).json()).toMatchObject({
      shape: [2, 1, 5],
      logits: [[[1, 3, 0, 3, -1]], [[2, 4, 0, 4, 0]]],
    })
  })

  test('include the padding row, which is never in the top k', async () => {
    await service.app.inject({ method: 'PATCH', url: '/v1/tables/words', payload: { padding_index: 1 } })
    expect((await attend({ queries: [1, 0] })).json().logits).toEqual([1, 3, 0, 3, -1])
    expect((await attend({ queries: [1, 0], top_k: 9 })).json()).toMatchObject({
      shape: [4],
      indices: [3, 0, 2, 4],
      scores: [3, 1, 0, -1],
    })
  })

  test('are null when they overflow', async () => {
    expect((await attend({ queries: [3e38, 3e38] })).json().logits).toEqual([null, null, 0, null, -3e38])
  })

  test.each([
    ['dot', [1, 3, 0], [43, 43, 21]],
    ['l2', [1, 3, 0], [Math.sqrt(40), Math.sqrt(40), 8]],
    ['cosine', [0, 1, 3], [21 / Math.sqrt(505), 43 / Math.sqrt(2525), 43 / Math.sqrt(2525)]],
  ])('are ranked by %s for the top k', async (metric, indices, scores) => {
    const answer = (await attend({ queries: [[1, 10]], top_k: 3, metric })).json()
    expect(answer).toMatchObject({ shape: [1, 3], indices: [indices] })
    for (const [i, score] of answer.scores[0].entries()) expect(score).toBeCloseTo(scores[i], 5)
  })

  test('can be those of a pinned version', async () => {
    await put('words', { values: [[5, 5]] })
    expect((await attend({ queries: [1, 0] })).json()).toMatchObject({ version: 2, logits: [5] })
    expect((await attend({ queries: [1, 0], version: 1 })).json()).toMatchObject({
      version: 1,
      logits: [1, 3, 0, 3, -1],
    })
    expect((await attend({ queries: [1, 0] }, 'words', '?version=1')).json()).toMatchObject({ version: 1 })
    expect((await attend({ queries: [1, 0], version: 9 })).json().code).toBe('VERSION_NOT_FOUND')
  })

  test('reflect updates', async () => {
    await service.app.inject({
      method: 'POST',
      url: '/v1/tables/words/rows',
      payload: { op: 'set', indices: [2], values: [[9, 9]] },
    })
    const answer = await attend({ queries: [1, 1], top_k: 1 })
    expect(answer.json()).toMatchObject({ sequence: 1, indices: [2], scores: [18] })
    expect(answer.headers.etag).toBe('"1-1"')
  })

  test('are empty without rows or queries', async () => {
    await put('none', { rows: 0, dim: 2 })
    expect((await attend({ queries: [1, 1] }, 'none')).json()).toMatchObject({ shape: [0], logits: [] })
    expect(
      (
        await attend(
          {
            queries: [
              [1, 1],
              [2, 2],
            ],
          },
          'none',
        )
      ).json(),
    ).toMatchObject({ shape: [2, 0], logits: [[], []] })
    expect((await attend({ queries: [[1, 1]], top_k: 3 }, 'none')).json()).toMatchObject({
      shape: [1, 0],
      indices: [[]],
      scores: [[]],
    })
  })
})

describe('With safetensors,', () => {
  beforeEach(() => put('words', { values: VALUES }))

  test('all scores are a tensor of logits', async () => {
    const answer = await attendBinary(queriesOf([2, 2], 1, 10, 0, -1))
    expect(answer.headers).toMatchObject({
      'content-type': SAFETENSORS,
      'x-shape': '2,5',
      'x-dtype': 'float32',
      etag: '"1-0"',
    })
    const tensors = readSafetensors(answer.rawPayload)
    expect([...tensors.keys()]).toEqual(['logits'])
    const { data, elementType, shape } = tensors.get('logits') ?? expect.unreachable()
    expect({ elementType, shape }).toEqual({ elementType: 'float32', shape: [2, 5] })
    expect([...new Float32Array(data.slice().buffer)]).toEqual([21, 43, 0, 43, -1, -2, -4, 0, -4, 0])
  })

  test('the top k are int64 indices and float32 scores, and options are in the query', async () => {
    const answer = await attendBinary(queriesOf([1, 1, 2], 1, 10), '?top_k=2&metric=l2&version=1')
    const tensors = readSafetensors(answer.rawPayload)
    const indices = tensors.get('indices') ?? expect.unreachable()
    const scores = tensors.get('scores') ?? expect.unreachable()
    expect([...new BigInt64Array(indices.data.slice().buffer)]).toEqual([1n, 3n])
    expect([...new Float32Array(scores.data.slice().buffer)]).toEqual([
      Math.fround(Math.sqrt(40)),
      Math.fround(Math.sqrt(40)),
    ])
    expect([indices.elementType, indices.shape, scores.elementType, scores.shape]).toEqual([
      'int64',
      [1, 1, 2],
      'float32',
      [1, 1, 2],
    ])
  })

  test('queries may have 16 bits, and the answer may be JSON', async () => {
    const bytes = new Uint8Array(Float16Array.of(1, 10).buffer)
    const answer = await attendBinary(
      [{ name: 'queries', elementType: 'float16', shape: [2], bytes }],
      '',
      'application/json',
    )
    expect(answer.json()).toMatchObject({ shape: [5], logits: [21, 43, 0, 43, -1] })
  })

  test('an empty batch of queries has an empty answer', async () => {
    const answer = await attendBinary(queriesOf([0, 2]), '?top_k=2', 'application/json')
    expect(answer.json()).toMatchObject({ shape: [0, 2], indices: [], scores: [] })
    expect((await attendBinary(queriesOf([0, 2]))).headers['x-shape']).toBe('0,5')
  })

  test.each([
    [
      'another tensor',
      [...queriesOf([2], 1, 1), { ...queriesOf([2], 1, 1)[0], name: 'weights' }],
      'INVALID_REQUEST',
    ],
    ['no queries', [{ ...queriesOf([2], 1, 1)[0], name: 'indices' }], 'INVALID_REQUEST'],
    ['integers', [{ ...queriesOf([2], 1, 1)[0], elementType: 'int32' as const }], 'DTYPE_MISMATCH'],
    ['NaN', queriesOf([2], 1, NaN), 'NON_FINITE'],
    ['infinity', queriesOf([1, 2], Infinity, 1), 'NON_FINITE'],
    ['a scalar', queriesOf([], 1), 'SHAPE_MISMATCH'],
    ['another dim', queriesOf([3], 1, 1, 1), 'SHAPE_MISMATCH'],
  ])('a body with %s is refused', async (_what, tensors, code) => {
    expect((await attendBinary(tensors)).json().code).toBe(code)
  })
})

describe('Tables of fewer bits:', () => {
  test.each(['float16', 'bfloat16', 'int8'])(
    '%s rows of small integers have exact scores for one query and for many',
    async (dtype) => {
      const values = Array.from({ length: 40 }, (_, row) =>
        Array.from({ length: 7 }, (_unused, k) => (k === 0 ? 0 : k === 1 ? 255 : (row * 7 + k * 13) % 128)),
      )
      await put('words', { dtype, values })
      const queries = Array.from({ length: 9 }, (_, q) =>
        Array.from({ length: 7 }, (_unused, k) => ((q + k) % 5) - 2),
      )
      const expected = queries.map((query) =>
        values.map((row) => row.reduce((sum, value, k) => sum + value * query[k], 0)),
      )
      expect((await attend({ queries })).json().logits).toEqual(expected)
      expect((await attend({ queries: queries[3] })).json().logits).toEqual(expected[3])
    },
  )
})

describe('An attend request is refused', () => {
  beforeEach(() => put('words', { values: VALUES }))

  test.each([
    [{}, 400, 'INVALID_REQUEST', '/queries'],
    [{ queries: [1, 2], top_k: 0 }, 400, 'INVALID_REQUEST', '/top_k'],
    [{ queries: [1, 2], top_k: null }, 400, 'INVALID_REQUEST', '/top_k'],
    [{ queries: [1, 2], top_k: '2' }, 400, 'INVALID_REQUEST', '/top_k'],
    [{ queries: [1, 2], metric: 'hamming' }, 400, 'INVALID_REQUEST', '/metric'],
    [{ queries: [1, 2], metric: 'l2' }, 400, 'INVALID_REQUEST', '/metric'],
    [{ queries: [1, 2], k: 2 }, 400, 'INVALID_REQUEST', '/k'],
    [{ queries: [1, '2'] }, 400, 'INVALID_REQUEST', '/queries/1'],
    [{ queries: 1 }, 422, 'SHAPE_MISMATCH', '/queries'],
    [{ queries: [] }, 422, 'SHAPE_MISMATCH', '/queries'],
    [{ queries: [1, 2, 3] }, 422, 'SHAPE_MISMATCH', '/queries'],
    [{ queries: [[1, 2], [1]] }, 422, 'SHAPE_MISMATCH', '/queries'],
    [{ queries: [[1, 1e39]] }, 422, 'NON_FINITE', '/queries/0/1'],
  ])('when it is %j: %i %s', async (payload, status, code, pointer) => {
    const answer = await attend(payload)
    expect(answer.json()).toMatchObject({ status, code })
    expect(answer.json().errors[0].pointer).toBe(pointer)
  })

  test('when options are in the query beside a JSON body', async () => {
    expect((await attend({ queries: [1, 2] }, 'words', '?top_k=1')).json().code).toBe('INVALID_REQUEST')
  })

  test('for an unknown table, after its deadline, and for unsupported media types', async () => {
    expect((await attend({ queries: [1] }, 'none')).json().code).toBe('TABLE_NOT_FOUND')
    const send = (headers: Record<string, string>) =>
      service.app.inject({
        method: 'POST',
        url: '/v1/tables/words/attend',
        headers: { 'content-type': 'application/json', ...headers },
        payload: '{"queries":[1,2]}',
      })
    expect((await send({ 'x-request-timeout-ms': '0' })).json().code).toBe('DEADLINE_EXCEEDED')
    expect((await send({ 'content-type': 'application/x-npy' })).json().code).toBe('UNSUPPORTED_MEDIA_TYPE')
    expect((await send({ accept: 'application/x-npy' })).json().code).toBe('NOT_ACCEPTABLE')
  })

  test('when its scores are too many for JSON', async () => {
    await put('long', { rows: 6_000_000, dim: 1 })
    const answer = await attend({ queries: [1] }, 'long')
    expect(answer.json()).toMatchObject({ status: 413, code: 'BATCH_TOO_LARGE' })
    expect((await attend({ queries: [1], top_k: 3 }, 'long')).json().indices).toEqual([0, 1, 2])
  })
})

describe('Scores equal those of reference libraries:', () => {
  const send: Send = async (method, url, body) => {
    const answer = await service.app.inject({
      method,
      url,
      headers: { 'content-type': body?.type },
      payload: String(body?.bytes),
    })
    return { status: answer.statusCode, headers: answer.headers, bytes: answer.rawPayload }
  }
  const stated = readSuite('attend').filter((golden) => golden.expect?.euclidean !== undefined)

  test.each(stated)('$name', async (golden: GoldenCase) => {
    await createGoldenTable(send, 'golden', golden.table ?? expect.unreachable())
    const answer = await attend(golden.request ?? {}, 'golden')
    expectNumbers(flatten(answer.json().scores), flatten(golden.expect?.euclidean as Nested), golden)
  })
})
