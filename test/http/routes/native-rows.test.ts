import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { readSafetensors, writeSafetensorsHeader } from '../../../src/formats/safetensors.ts'
import { removeTables, type Service, startService } from '../../helpers/service.ts'

let service: Service
beforeAll(async () => {
  service = await startService()
})
beforeEach(async () => {
  const values = [
    [0, 2.5, 255, 100, 7],
    [-1, 0, 1, 0, -1],
    [3, 3, 3, 3, 3],
  ]
  await service.app.inject({ method: 'PUT', url: '/v1/tables/q', payload: { values, dtype: 'int8' } })
})
afterEach(() => removeTables(service))
afterAll(() => service.close())

const [JSON_TYPE, SAFETENSORS, RAW, NPY] = ['json', 'x-safetensors', 'octet-stream', 'x-npy'].map(
  (type) => `application/${type}`,
)
const ask = (payload: object, accept: string) =>
  service.app.inject({
    method: 'POST',
    url: '/v1/tables/q/lookup',
    payload: { dtype: 'native', ...payload },
    headers: { accept },
  })
const floats = (data: Uint8Array | undefined) =>
  Array.from(new Float32Array(new Uint8Array(data ?? []).buffer))
const steps = Math.fround(2 / 255)
/** The stored rows: their numbers are byte * scale + bias. */
const STORED = [
  { bytes: [0, 2, 255, 100, 7], scale: 1, bias: 0 },
  { bytes: [0, 128, 255, 128, 0], scale: steps, bias: -1 },
  { bytes: [0, 0, 0, 0, 0], scale: 0, bias: 3 },
]

describe('Stored rows of an int8 table', () => {
  test('are returned as three tensors in the shape of the ids', async () => {
    const answer = await ask(
      {
        indices: [
          [2, 0],
          [1, 1],
        ],
        mask: true,
      },
      SAFETENSORS,
    )
    expect(answer.headers).toMatchObject({
      'x-shape': '2,2,5',
      'x-dtype': 'uint8',
      'content-type': SAFETENSORS,
    })
    const tensors = readSafetensors(answer.rawPayload)
    const rows = [2, 0, 1, 1].map((row) => STORED[row])
    expect(tensors.get('embeddings')).toMatchObject({ elementType: 'uint8', shape: [2, 2, 5] })
    expect(Array.from(tensors.get('embeddings')?.data ?? [])).toEqual(rows.flatMap(({ bytes }) => bytes))
    expect(tensors.get('scale')).toMatchObject({ elementType: 'float32', shape: [2, 2] })
    expect(floats(tensors.get('scale')?.data)).toEqual(rows.map(({ scale }) => scale))
    expect(floats(tensors.get('bias')?.data)).toEqual(rows.map(({ bias }) => bias))
    expect(tensors.get('mask')).toMatchObject({ shape: [2, 2], data: Uint8Array.of(1, 1, 1, 1) })
  })

  test('give the float32 numbers of lookups', async () => {
    const tensors = readSafetensors((await ask({ indices: [0, 1, 2] }, SAFETENSORS)).rawPayload)
    const [scale, bias] = ['scale', 'bias'].map((name) => floats(tensors.get(name)?.data))
    const computed = Array.from(tensors.get('embeddings')?.data ?? [], (byte, i) => {
      const row = Math.floor(i / 5)
      return Math.fround(byte * scale[row] + bias[row])
    })
    const answer = await ask({ indices: [0, 1, 2], dtype: 'float32' }, SAFETENSORS)
    expect(computed).toEqual(floats(readSafetensors(answer.rawPayload).get('embeddings')?.data))
  })

  test('are returned raw with scale and bias behind the bytes of each row', async () => {
    const answer = await ask({ indices: [1, 0] }, RAW)
    expect(answer.headers).toMatchObject({ 'x-shape': '2,13', 'x-dtype': 'uint8' })
    const rows = [1, 0].map((row) => STORED[row])
    const expected = rows.map(({ bytes, scale, bias }) =>
      Buffer.concat([Uint8Array.from(bytes), new Uint8Array(Float32Array.of(scale, bias).buffer)]),
    )
    expect(answer.rawPayload).toEqual(Buffer.concat(expected))
  })

  test.each([SAFETENSORS, RAW])('have the fill value as bias for an id without a row (%s)', async (type) => {
    for (const [fill, value] of [
      [0.1, Math.fround(0.1)],
      [null, NaN],
    ] as const) {
      const { rawPayload } = await ask({ indices: [7, 0, -9], mode: 'fill', fill_value: fill }, type)
      if (type === RAW) {
        expect(rawPayload.subarray(0, 9)).toEqual(Buffer.alloc(9))
        expect(rawPayload.readFloatLE(9)).toBe(value)
        expect(rawPayload.readFloatLE(2 * 13 + 9)).toBe(value)
      } else {
        const tensors = readSafetensors(rawPayload)
        expect(floats(tensors.get('bias')?.data)).toEqual([value, 0, value])
        expect(floats(tensors.get('scale')?.data)).toEqual([0, 1, 0])
      }
    }
  })

  test('have the shape of the ids also for no ids and for a single one', async () => {
    const none = readSafetensors((await ask({ indices: [] }, SAFETENSORS)).rawPayload)
    expect([none.get('embeddings')?.shape, none.get('scale')?.shape]).toEqual([[0, 5], [0]])
    const one = readSafetensors((await ask({ indices: 1 }, SAFETENSORS)).rawPayload)
    expect([one.get('embeddings')?.shape, one.get('scale')?.shape]).toEqual([[5], []])
    expect(floats(one.get('scale')?.data)).toEqual([steps])
  })

  test('can be looked up together with rows of other tables', async () => {
    await service.app.inject({ method: 'PUT', url: '/v1/tables/f', payload: { values: [[1, 2]] } })
    const ids = new Uint8Array(Int32Array.of(2, 0, 0).buffer)
    const { header } = writeSafetensorsHeader([
      { name: 'q/indices', elementType: 'int32', shape: [2] },
      { name: 'f/indices', elementType: 'int32', shape: [1] },
    ])
    const answer = await service.app.inject({
      method: 'POST',
      url: '/v1/lookup?dtype=native',
      payload: Buffer.concat([header, ids]),
      headers: { 'content-type': SAFETENSORS, accept: SAFETENSORS },
    })
    const tensors = readSafetensors(answer.rawPayload)
    expect([...tensors.keys()]).toEqual(['q/scale', 'q/bias', 'q/embeddings', 'f/embeddings'])
    expect(tensors.get('q/embeddings')).toMatchObject({
      elementType: 'uint8',
      shape: [2, 5],
      data: Uint8Array.from([...STORED[2].bytes, ...STORED[0].bytes]),
    })
    expect(floats(tensors.get('q/bias')?.data)).toEqual([3, 0])
    expect(floats(tensors.get('f/embeddings')?.data)).toEqual([1, 2])
  })

  test('are refused in JSON and in npy, and when they are pooled', async () => {
    expect((await ask({ indices: [0] }, JSON_TYPE)).json()).toMatchObject({
      status: 422,
      code: 'DTYPE_MISMATCH',
      errors: [{ pointer: '/dtype' }],
    })
    expect((await ask({ indices: [0] }, NPY)).json()).toMatchObject({ status: 406, code: 'NOT_ACCEPTABLE' })
    for (const accept of [SAFETENSORS, RAW, JSON_TYPE]) {
      expect((await ask({ indices: [[0, 1]], pooling: 'sum' }, accept)).json()).toMatchObject({
        status: 422,
        code: 'DTYPE_MISMATCH',
      })
    }
    const many = await service.app.inject({
      method: 'POST',
      url: '/v1/lookup',
      payload: { lookups: [{ table: 'q', indices: [0], dtype: 'native' }] },
    })
    expect(many.json()).toMatchObject({ code: 'DTYPE_MISMATCH', errors: [{ pointer: '/lookups/0/dtype' }] })
  })
})
