import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { LIMITS } from '../../../src/core/limits.ts'
import { removeTables, type Service, startService } from '../../helpers/service.ts'
import { encodeTensors, lookUp, putAdapter, type Sent } from './adapters.ts'

let service: Service
beforeAll(async () => {
  service = await startService({ quotaBytes: 40 * 65_536 })
})
beforeEach(() => putTable())
afterEach(async () => {
  await removeTables(service)
  expect(service.writerErrors).toEqual([])
})
afterAll(() => service.close())

const ROWS = 4
const DIM = 3
const VALUES = Array.from({ length: ROWS }, (_, row) => [row, row / 2, -row])
const A: Sent = { shape: [ROWS, 2], values: [1, 2, 3, 4, 5, 6, 7, 8] }
const B: Sent = { shape: [2, DIM], values: [1, 0, 0, 0, 1, 0] }

const inject = (method: 'GET' | 'POST' | 'DELETE' | 'PUT', path: string, payload?: object, headers = {}) =>
  service.app.inject({ method, url: `/v1/tables/t${path}`, payload, headers })
const putTable = (dtype = 'float32') => inject('PUT', '', { values: VALUES, dtype })

/** Expects that there is no adapter, and that sequence and memory are unchanged. */
const expectUntouched = async (reservedBytes: number) => {
  expect((await inject('GET', '/lora')).json()).toEqual({ table: 't', version: 1, sequence: 0, lora: null })
  expect(service.writer.memory.reservedBytes).toBe(reservedBytes)
}

describe('An adapter is refused', () => {
  const values = (count: number) => Array.from({ length: count }, () => 1)
  test.each<[string, string, number, Record<string, Sent>, string, string]>([
    ['without a', 'INVALID_REQUEST', 400, { b: B }, '?alpha=1', '/a'],
    ['without b', 'INVALID_REQUEST', 400, { a: A }, '?alpha=1', '/b'],
    ['without alpha', 'INVALID_REQUEST', 400, { a: A, b: B }, '', '/alpha'],
    [
      'with two alphas',
      'INVALID_REQUEST',
      400,
      { a: A, b: B, alpha: { shape: [], values: [1] } },
      '?alpha=1',
      '/alpha',
    ],
    [
      'with an alpha of two numbers',
      'SHAPE_MISMATCH',
      422,
      { a: A, b: B, alpha: { shape: [2], values: [1, 2] } },
      '',
      '/alpha',
    ],
    [
      'with an alpha that is not finite',
      'NON_FINITE',
      422,
      { a: A, b: B, alpha: { shape: [], values: [NaN] } },
      '',
      '/alpha',
    ],
    ['with an alpha beyond float32', 'NON_FINITE', 422, { a: A, b: B }, '?alpha=1e300', '/alpha'],
    ['with an unknown array', 'INVALID_REQUEST', 400, { a: A, b: B, c: B }, '?alpha=1', '/c'],
    [
      'for another number of rows',
      'SHAPE_MISMATCH',
      422,
      { a: { shape: [2, ROWS], values: A.values }, b: B },
      '?alpha=1',
      '/a',
    ],
    [
      'for another dim',
      'SHAPE_MISMATCH',
      422,
      { a: A, b: { shape: [DIM, 2], values: B.values } },
      '?alpha=1',
      '/b',
    ],
    [
      'with a and b of different ranks',
      'SHAPE_MISMATCH',
      422,
      { a: { shape: [ROWS, 1], values: values(ROWS) }, b: B },
      '?alpha=1',
      '/b',
    ],
    [
      'of rank 0',
      'SHAPE_MISMATCH',
      422,
      { a: { shape: [ROWS, 0], values: [] }, b: { shape: [0, DIM], values: [] } },
      '?alpha=1',
      '/a',
    ],
    [
      'with an a of one axis',
      'SHAPE_MISMATCH',
      422,
      { a: { shape: [ROWS], values: values(ROWS) }, b: B },
      '?alpha=1',
      '/a',
    ],
    ['of integers', 'DTYPE_MISMATCH', 422, { a: { ...A, elementType: 'int32' }, b: B }, '?alpha=1', '/a'],
    [
      'with NaN',
      'NON_FINITE',
      422,
      { a: { ...A, values: [1, 2, 3, NaN, 5, 6, 7, 8] }, b: B },
      '?alpha=1',
      '/a/1/1',
    ],
    [
      'with infinity',
      'NON_FINITE',
      422,
      { a: A, b: { ...B, values: [1, 2, 3, 4, Infinity, 6] } },
      '?alpha=1',
      '/b/1/1',
    ],
  ])('%s: %s', async (_what, code, status, tensors, query, pointer) => {
    const reservedBytes = service.writer.memory.reservedBytes
    const answer = await putAdapter(service, tensors, query)
    expect(answer.json()).toMatchObject({ code, status, errors: [{ pointer }] })
    await expectUntouched(reservedBytes)
  })

  test('above the highest rank', async () => {
    const rank = LIMITS.adapterRankMax + 1
    const tensors = {
      a: { shape: [ROWS, rank], values: values(ROWS * rank) },
      b: { shape: [rank, DIM], values: values(rank * DIM) },
    }
    expect((await putAdapter(service, tensors, '?alpha=1')).json()).toMatchObject({ code: 'SHAPE_MISMATCH' })
  })

  test('in a body that is too short or too long', async () => {
    const reservedBytes = service.writer.memory.reservedBytes
    const body = encodeTensors({ a: A, b: B })
    const send = (payload: Buffer) =>
      service.app.inject({
        method: 'PUT',
        url: '/v1/tables/t/lora?alpha=1',
        payload,
        headers: { 'content-type': 'application/x-safetensors' },
      })
    for (const cut of [0, 5, 20, body.length - 1])
      expect((await send(body.subarray(0, cut))).json(), `${cut}`).toMatchObject({ code: 'MALFORMED_BODY' })
    expect((await send(Buffer.concat([body, Buffer.alloc(1)]))).json()).toMatchObject({
      code: 'MALFORMED_BODY',
    })
    await expectUntouched(reservedBytes)
  })

  test('in another format than safetensors', async () => {
    const answer = await inject('PUT', '/lora?alpha=1', { a: [[1]], b: [[1]] })
    expect(answer.json()).toMatchObject({ code: 'UNSUPPORTED_MEDIA_TYPE' })
  })

  test('when If-Match fails', async () => {
    const reservedBytes = service.writer.memory.reservedBytes
    expect(
      (await putAdapter(service, { a: A, b: B }, '?alpha=1', { 'if-match': '"1-4"' })).json(),
    ).toMatchObject({
      code: 'PRECONDITION_FAILED',
    })
    await expectUntouched(reservedBytes)
    expect((await putAdapter(service, { a: A, b: B }, '?alpha=1', { 'if-match': '"1-0"' })).statusCode).toBe(
      201,
    )
    for (const [method, path] of [
      ['DELETE', '/lora'],
      ['POST', '/lora/merge'],
    ] as const) {
      expect((await inject(method, path, undefined, { 'if-match': '"1-0"' })).json()).toMatchObject({
        code: 'PRECONDITION_FAILED',
      })
    }
    expect((await inject('DELETE', '/lora', undefined, { 'if-match': '"1-1"' })).statusCode).toBe(204)
  })

  test('that does not fit the memory quota, and the memory of others is released with them', async () => {
    const wide = (rank: number): Record<string, Sent> => ({
      a: { shape: [ROWS, rank], values: values(ROWS * rank) },
      b: { shape: [rank, 8192], values: values(rank * 8192) },
    })
    await service.app.inject({ method: 'PUT', url: '/v1/tables/t', payload: { rows: ROWS, dim: 8192 } })
    const reservedBytes = service.writer.memory.reservedBytes
    expect((await putAdapter(service, wide(128), '?alpha=1')).json()).toMatchObject({
      status: 507,
      code: 'MEMORY_QUOTA_EXCEEDED',
    })
    expect(service.writer.memory.reservedBytes).toBe(reservedBytes)
    expect((await putAdapter(service, wide(16), '?alpha=1')).statusCode).toBe(201)
    const attachedBytes = service.writer.memory.reservedBytes
    expect(attachedBytes).toBeGreaterThanOrEqual(reservedBytes + 16 * 8192 * 4)
    expect((await putAdapter(service, wide(16), '?alpha=2')).statusCode).toBe(200)
    expect(service.writer.memory.reservedBytes).toBe(attachedBytes)
    await inject('DELETE', '/lora')
    expect(service.writer.memory.reservedBytes).toBe(reservedBytes)
    await putAdapter(service, wide(16), '?alpha=1')
    await inject('DELETE', '')
    expect(service.writer.memory.reservedBytes).toBe(0)
  })
})

describe('While an adapter is attached', () => {
  beforeEach(async () => {
    expect((await putAdapter(service, { a: A, b: B }, '?alpha=1')).statusCode).toBe(201)
  })

  test.each(['json', 'safetensors'])('stored int8 rows are refused when asked for in %s', async (format) => {
    const answer =
      format === 'json'
        ? await inject('POST', '/lookup', { indices: [0], dtype: 'native' })
        : await lookUp(service, [0], '?dtype=native').catch(String)
    expect(typeof answer === 'object' && 'body' in answer ? answer.body : String(answer)).toContain(
      'DTYPE_MISMATCH',
    )
  })

  test.each([
    ['/gradients', { indices: [0], gradients: [[1, 1, 1]] }],
    ['/rows', { op: 'set', indices: [0], values: [[1, 1, 1]] }],
    ['/rows', { op: 'add', indices: [0], values: [[1, 1, 1]] }],
  ])('POST %s of %o is refused until the adapter is deleted', async (path, payload) => {
    const before = await lookUp(service, [0, 1, 2, 3])
    expect((await inject('POST', path, payload)).json()).toMatchObject({
      status: 412,
      code: 'PRECONDITION_FAILED',
    })
    expect(await lookUp(service, [0, 1, 2, 3])).toEqual(before)
    await inject('DELETE', '/lora')
    expect((await inject('POST', path, payload)).json()).toMatchObject({ version: 1, sequence: 3 })
  })

  test('attend is refused until the adapter is merged', async () => {
    const payload = { queries: [1, 0, 0], top_k: 1 }
    expect((await inject('POST', '/attend', payload)).json()).toMatchObject({ code: 'PRECONDITION_FAILED' })
    expect((await inject('POST', '/lora/merge')).statusCode).toBe(200)
    expect((await inject('POST', '/attend', payload)).json()).toMatchObject({ version: 2, indices: [3] })
  })

  test('pages of rows show the rows without the adapter', async () => {
    const { rows } = (await inject('GET', '/rows')).json()
    expect(rows.map((row: { embedding: number[] }) => row.embedding)).toEqual(
      VALUES.map((row) => row.map((value) => value + 0)),
    )
  })
})

describe('Merging is refused', () => {
  test('when there is no adapter', async () => {
    expect((await inject('POST', '/lora/merge')).json()).toMatchObject({
      status: 412,
      code: 'PRECONDITION_FAILED',
    })
  })

  test('without a change when a sum is too large for the storage dtype', async () => {
    await putTable('float16')
    const reservedBytes = service.writer.memory.reservedBytes
    const large = { ...A, values: Array.from(A.values, (value) => value * 10_000) }
    await putAdapter(service, { a: large, b: B }, '?alpha=2')
    const answer = await inject('POST', '/lora/merge')
    expect(answer.json()).toMatchObject({
      status: 422,
      code: 'NON_FINITE',
      errors: [{ pointer: '/rows/3/0' }],
    })
    expect((await inject('GET', '')).headers.etag).toBe('"2-1-0"')
    await inject('DELETE', '/lora')
    expect(service.writer.memory.reservedBytes).toBe(reservedBytes)
  })

  test('when two versions do not fit the quota', async () => {
    await inject('DELETE', '')
    const shared = service
    service = await startService({ quotaBytes: 3 * 65_536 })
    onTestFinished(async () => {
      await service.close()
      service = shared
    })
    await putTable()
    await putAdapter(service, { a: A, b: B }, '?alpha=1')
    expect(service.writer.memory.reservedBytes).toBe(3 * 65_536)
    expect((await inject('POST', '/lora/merge')).json()).toMatchObject({
      status: 507,
      code: 'MEMORY_QUOTA_EXCEEDED',
    })
    expect((await inject('GET', '/lora')).json()).toMatchObject({
      version: 1,
      sequence: 1,
      lora: { rank: 2 },
    })
  })
})

test.each([
  ['GET', ''],
  ['DELETE', ''],
  ['POST', '/merge'],
] as const)('%s lora%s of an unknown table is TABLE_NOT_FOUND', async (method, path) => {
  const answer = await service.app.inject({ method, url: `/v1/tables/none/lora${path}` })
  expect(answer.json()).toMatchObject({ status: 404, code: 'TABLE_NOT_FOUND' })
})
