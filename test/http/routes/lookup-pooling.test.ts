import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readNpy, writeNpyHeader } from '../../../src/formats/npy.ts'
import { readSafetensors, writeSafetensorsHeader } from '../../../src/formats/safetensors.ts'
import { type Service, startService } from '../../helpers/service.ts'

let service: Service
beforeAll(async () => {
  service = await startService()
  const values = [0, 1, 2, 3].map((row) => [row + 1, -row])
  await service.app.inject({ method: 'PUT', url: '/v1/tables/user', payload: { values } })
  await service.app.inject({
    method: 'PUT',
    url: '/v1/tables/word',
    payload: { values: values.map((row) => row.map((number) => number * 100)), padding_index: 0 },
  })
})
afterAll(() => service.close())

const SAFETENSORS = 'application/x-safetensors'
const post = (
  url: string,
  payload: object | Buffer,
  type = 'application/json',
  accept = 'application/json',
) => service.app.inject({ method: 'POST', url, payload, headers: { 'content-type': type, accept } })
const pool = async (payload: object) =>
  (await post('/v1/tables/user/lookup', payload)).json<Record<string, unknown>>()

const tensors = (arrays: Record<string, { shape?: number[]; data: Int32Array | Float32Array }>): Buffer => {
  const described = Object.entries(arrays).map(([name, { shape, data }]) => {
    return {
      name,
      elementType: data instanceof Int32Array ? ('int32' as const) : ('float32' as const),
      shape: shape ?? [data.length],
    }
  })
  return Buffer.concat([
    writeSafetensorsHeader(described).header,
    ...Object.values(arrays).map(({ data }) => Buffer.from(data.buffer)),
  ])
}
const ints = (...values: number[]) => ({ data: Int32Array.from(values) })
const floats = (...values: number[]) => ({ data: Float32Array.from(values) })
const numbersOf = (data: Uint8Array | undefined) =>
  Array.from(new Float32Array(Uint8Array.from(data ?? []).buffer))

describe('Pooling in JSON', () => {
  test('returns a row for each bag', async () => {
    const answer = await pool({ indices: [[3, 1], [], [2]], pooling: 'mean' })
    expect(answer).toEqual({
      table: 'user',
      version: 1,
      sequence: 0,
      shape: [3, 2],
      dtype: 'float32',
      embeddings: [
        [3, -2],
        [0, 0],
        [3, -2],
      ],
    })
  })

  test('accepts offsets, nested and flat weights, and a last offset', async () => {
    const embeddings = [
      [5, -1.5],
      [3, -2],
    ]
    expect(
      await pool({ indices: [3, 1, 2], offsets: [0, 2], weights: [0.5, 1.5, 1], pooling: 'sum' }),
    ).toMatchObject({
      embeddings: [
        [5, -3],
        [3, -2],
      ],
    })
    const nested = { indices: [[3, 1], [2]], weights: [[0.5, 1.5], [1]], pooling: 'sum' }
    expect(await pool(nested)).toMatchObject({
      embeddings: [
        [5, -3],
        [3, -2],
      ],
    })
    expect(await pool({ ...nested, weights: [0.5, 1.5, 1] })).toMatchObject({
      embeddings: [
        [5, -3],
        [3, -2],
      ],
    })
    const last = {
      indices: [0, 0, 1, 2],
      offsets: [0, 3, 4],
      include_last_offset: true,
      weights: [1, 1, 1.5, 1],
      pooling: 'sum',
    }
    expect(await pool(last)).toMatchObject({ embeddings })
  })

  test('of no bags returns an empty array of the right shape', async () => {
    expect(await pool({ indices: [], pooling: 'sum' })).toMatchObject({ shape: [0, 2], embeddings: [] })
    expect(await pool({ indices: [], offsets: [], pooling: 'max' })).toMatchObject({
      shape: [0, 2],
      embeddings: [],
    })
    expect(await pool({ indices: [[], []], pooling: 'max' })).toMatchObject({
      shape: [2, 2],
      embeddings: [
        [0, 0],
        [0, 0],
      ],
    })
  })

  test('returns a mask of the members', async () => {
    const answer = await pool({
      indices: [[3, 9], [], [-1]],
      pooling: 'sum',
      mode: 'fill',
      fill_value: 0,
      mask: true,
    })
    expect(answer).toMatchObject({ shape: [3, 2], mask: [[true, false], [], [false]] })
  })

  test('accepts as many bags as the limit on ids, and a last offset', async () => {
    const count = 65_536
    const indices = Array.from({ length: count }, () => 1)
    const offsets = Array.from({ length: count + 1 }, (_, i) => i)
    expect(await pool({ indices, offsets, include_last_offset: true, pooling: 'sum' })).toMatchObject({
      shape: [count, 2],
    })
    const more = await post('/v1/tables/user/lookup', {
      indices: [],
      offsets: Array.from({ length: count + 1 }, () => 0),
      pooling: 'sum',
    })
    expect(more.json()).toMatchObject({ code: 'BATCH_TOO_LARGE' })
  })

  test.each([
    [{ indices: [[0, 9]], pooling: 'sum' }, 'INDEX_OUT_OF_RANGE', '/indices/0/1'],
    [{ indices: [[0], [], [1, 9]], pooling: 'sum' }, 'INDEX_OUT_OF_RANGE', '/indices/2/1'],
    [{ indices: [0], offsets: [0], pooling: 'sum', weights: [1e39] }, 'NON_FINITE', '/weights/0'],
    [{ indices: [0], offsets: ['0'], pooling: 'sum' }, 'INVALID_REQUEST', '/offsets/0'],
    [{ indices: [0], offsets: null, pooling: 'sum' }, 'INVALID_REQUEST', '/offsets'],
    [{ indices: [[0]], pooling: 'min' }, 'INVALID_REQUEST', '/pooling'],
    [{ indices: [[0], 1], pooling: 'sum' }, 'SHAPE_MISMATCH', '/indices/1'],
    [{ indices: [[0]], pooling: 'sum', include_last_offset: 1 }, 'INVALID_REQUEST', '/include_last_offset'],
  ])('refuses %j', async (payload, code, pointer) => {
    const answer = await post('/v1/tables/user/lookup', payload)
    expect(answer.json()).toMatchObject({ code, errors: [expect.objectContaining({ pointer })] })
  })
})

describe('Pooling in binary', () => {
  test('accepts tensors, and returns a tensor with the mask beside it', async () => {
    const body = tensors({ indices: ints(3, 9, 2), offsets: ints(0, 2), weights: floats(1, 1, 0.5) })
    const answer = await post(
      '/v1/tables/user/lookup?pooling=sum&mode=clip&mask=true',
      body,
      SAFETENSORS,
      SAFETENSORS,
    )
    expect(answer.headers).toMatchObject({ 'x-shape': '2,2', 'x-dtype': 'float32', etag: '"1-0"' })
    const answered = readSafetensors(answer.rawPayload)
    expect(answered.get('embeddings')?.shape).toEqual([2, 2])
    expect(numbersOf(answered.get('embeddings')?.data)).toEqual([8, -6, 1.5, -1])
    expect(answered.get('mask')).toMatchObject({ shape: [3], data: Uint8Array.of(1, 0, 1) })
  })

  test('pools each row of ids of an array of rank 2', async () => {
    const ids = Buffer.from(Int32Array.of(3, 1, 2, 0).buffer)
    const raw = await post(
      '/v1/tables/user/lookup?shape=2,2&pooling=max',
      ids,
      'application/octet-stream',
      'application/octet-stream',
    )
    expect(numbersOf(raw.rawPayload)).toEqual([4, -1, 3, 0])
    const npy = await post(
      '/v1/tables/user/lookup?pooling=max',
      Buffer.concat([writeNpyHeader('int32', [2, 2]), ids]),
      'application/x-npy',
      'application/x-npy',
    )
    expect(readNpy(npy.rawPayload).shape).toEqual([2, 2])
    expect(numbersOf(readNpy(npy.rawPayload).data)).toEqual([4, -1, 3, 0])
  })

  test('accepts offsets and weights of flat ids in the query', async () => {
    const ids = Buffer.from(Int32Array.of(3, 1, 2, 0).buffer)
    const url = '/v1/tables/user/lookup?pooling=sum&offsets=0,1,4&include_last_offset=true&weights=1,2,0.5,-1'
    const raw = await post(url, ids, 'application/octet-stream')
    expect(raw.json()).toMatchObject({
      embeddings: [
        [4, -3],
        [4.5, -3],
      ],
    })
    const wrong = await post(
      '/v1/tables/user/lookup?pooling=sum&offsets=0,x',
      ids,
      'application/octet-stream',
    )
    expect(wrong.json()).toMatchObject({ code: 'INVALID_REQUEST', errors: [{ pointer: '/offsets/1' }] })
  })

  test('refuses weights that are not finite, and tensors of wrong types', async () => {
    const url = '/v1/tables/user/lookup?pooling=sum'
    const nan = await post(
      url,
      tensors({ indices: { ...ints(1, 2), shape: [1, 2] }, weights: floats(1, NaN) }),
      SAFETENSORS,
    )
    expect(nan.json()).toMatchObject({ code: 'NON_FINITE', errors: [{ pointer: '/weights/1' }] })
    const typed = await post(url, tensors({ indices: ints(1), offsets: floats(0) }), SAFETENSORS)
    expect(typed.json()).toMatchObject({ code: 'DTYPE_MISMATCH', errors: [{ pointer: '/offsets' }] })
  })

  test.each(['shape=4000000000,0&pooling=sum', 'shape=4000000000,0&mask=true', 'shape=60000,60000,0'])(
    'refuses too many lists, even if few bytes announce them: %s',
    async (query) => {
      const answer = await post(
        `/v1/tables/user/lookup?${query}`,
        Buffer.alloc(0),
        'application/octet-stream',
      )
      expect(answer.json()).toMatchObject({ code: 'BATCH_TOO_LARGE' })
    },
  )
})

describe('Pooling in several tables', () => {
  test('in JSON uses the options of each lookup', async () => {
    const lookups = [
      { table: 'user', indices: [[3, 1]], pooling: 'mean' },
      { table: 'word', indices: [0, 2], offsets: [0], pooling: 'sum' },
      { table: 'word', indices: [1] },
    ]
    const answer = (await post('/v1/lookup', { lookups })).json<{ results: { embeddings: unknown }[] }>()
    expect(answer.results.map(({ embeddings }) => embeddings)).toEqual([
      [[3, -2]],
      [[300, -200]],
      [[200, -100]],
    ])
  })

  test('in safetensors uses tensors named after the tables', async () => {
    const body = tensors({
      'user/indices': ints(3, 1, 2),
      'user/offsets': ints(0, 2),
      'user/weights': floats(1, 1, 2),
      'word/indices': { ...ints(0, 2), shape: [1, 2] },
    })
    const answer = await post('/v1/lookup?pooling=sum', body, SAFETENSORS, SAFETENSORS)
    const answered = readSafetensors(answer.rawPayload)
    expect(numbersOf(answered.get('user/embeddings')?.data)).toEqual([6, -4, 6, -4])
    expect(numbersOf(answered.get('word/embeddings')?.data)).toEqual([300, -200])
  })

  test('refuses an id with the lookup and the position in it', async () => {
    const lookups = [
      { table: 'user', indices: [0] },
      { table: 'word', indices: [0, 1], offsets: [0, 3], pooling: 'sum' },
    ]
    expect((await post('/v1/lookup', { lookups })).json()).toMatchObject({
      code: 'SHAPE_MISMATCH',
      errors: [{ pointer: '/lookups/1/offsets/1' }],
    })
    const body = tensors({ 'user/indices': ints(0), 'word/indices': ints(1), 'word/offsets': ints(1) })
    expect((await post('/v1/lookup?pooling=sum', body, SAFETENSORS)).json()).toMatchObject({
      errors: [{ pointer: '/user/offsets' }],
    })
  })
})
