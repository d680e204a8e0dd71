import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { readNpy } from '../../../src/formats/npy.ts'
import { readFixture } from '../../formats/refusal.ts'
import { removeTables, type Service, startService } from '../../helpers/service.ts'

let service: Service
beforeAll(async () => {
  service = await startService({ segmentBytesMax: 4 * 65_536 })
})
afterEach(() => removeTables(service))
afterAll(() => service.close())

const NPY = 'application/x-npy'
const SAFE = 'application/x-safetensors'
const file = (name: string): Buffer => Buffer.from(readFixture(`writers/${name}`))
const ROWS = new Float32Array(Uint8Array.from(readNpy(file('rows.npy')).data).buffer)
const DIM = 5

const put = (type: string, payload: Buffer, query = '', table = 't') =>
  service.app.inject({
    method: 'PUT',
    url: `/v1/tables/${table}${query}`,
    payload,
    headers: { 'content-type': type },
  })
const data = async (table = 't', accept = 'application/octet-stream'): Promise<Buffer> =>
  (await service.app.inject({ url: `/v1/tables/${table}/data`, headers: { accept } })).rawPayload

const NPY_FILES = [
  'pandas.npy',
  'pandas-float64.npy',
  'polars.npy',
  'float64.npy',
  'big-endian.npy',
  'big-endian-columns.npy',
]

describe('A file of a real writer becomes the rows that it holds', () => {
  test.each(NPY_FILES)('%s', async (name) => {
    expect((await put(NPY, file(name))).json()).toMatchObject({ rows: 7, dim: DIM, dtype: 'float32' })
    expect(await data()).toEqual(Buffer.from(ROWS.buffer))
  })

  test.each(NPY_FILES)('%s, rounded to float16 as the same rows in row order are', async (name) => {
    await put(NPY, file(name), '?dtype=float16')
    expect(await data()).toEqual(Buffer.from(new Float16Array(ROWS).buffer))
  })

  test('in column order, in parts that end anywhere', async () => {
    const body = file('big-endian-columns.npy')
    const url = '/v1/tables/t/uploads'
    const begun = await service.app.inject({ method: 'POST', url, payload: { content_type: NPY } })
    const { upload } = begun.json<{ upload: string }>()
    for (const [part, piece] of [
      body.subarray(0, 131),
      body.subarray(131, 200),
      body.subarray(200),
    ].entries())
      await service.app.inject({ method: 'PUT', url: `${url}/${upload}/parts/${part}`, payload: piece })
    expect((await service.app.inject({ method: 'POST', url: `${url}/${upload}/commit` })).statusCode).toBe(
      201,
    )
    expect(await data()).toEqual(Buffer.from(ROWS.buffer))
  })

  test('except that int8 needs whole rows', async () => {
    expect((await put(NPY, file('pandas.npy'), '?dtype=int8')).json()).toMatchObject({
      code: 'DTYPE_MISMATCH',
      detail: expect.stringContaining('np.ascontiguousarray') as string,
    })
  })

  test('npz by no route, but the refusal says what to send', async () => {
    expect((await put(NPY, file('one.npz'))).json()).toMatchObject({
      code: 'MALFORMED_BODY',
      detail: expect.stringContaining('np.save') as string,
    })
  })
})

test.each(['ids-columns.npy', 'ids-big-endian.npy'])(
  'Ids of %s name the rows that NumPy takes',
  async (name) => {
    await put(NPY, file('rows.npy'))
    const answer = await service.app.inject({
      method: 'POST',
      url: '/v1/tables/t/lookup',
      payload: file(name),
      headers: { 'content-type': NPY },
    })
    const ids =
      name === 'ids-columns.npy'
        ? [
            [3, 1, 0],
            [2, 6, 5],
          ]
        : [
            [3, 1],
            [2, 0],
          ]
    const rowOf = (id: number) => [...ROWS.subarray(id * DIM, (id + 1) * DIM)]
    const got = answer.json<{ embeddings: number[][][] }>().embeddings
    expect(got.map((list) => list.map((row) => row.map(Math.fround)))).toEqual(
      ids.map((list) => list.map(rowOf)),
    )
  },
)

describe('Of a checkpoint with hundreds of tensors and some of unknown types', () => {
  test('the one that is named becomes the table', async () => {
    const stored = await put(SAFE, file('checkpoint.safetensors'), '?tensor=embed')
    expect(stored.json()).toMatchObject({ rows: 7, dim: DIM, dtype: 'bfloat16' })
    expect(await data()).toEqual(
      Buffer.from(Uint16Array.from(new Uint32Array(ROWS.buffer), (bits) => bits >>> 16).buffer),
    )
  })

  test('one of an unknown type is refused when it is named, and counts as a candidate when none is', async () => {
    expect((await put(SAFE, file('checkpoint.safetensors'), '?tensor=experts.weight')).json()).toMatchObject({
      code: 'DTYPE_MISMATCH',
      detail: expect.stringContaining('F8_E4M3') as string,
    })
    expect((await put(SAFE, file('checkpoint.safetensors'))).json<{ detail: string }>().detail).toMatch(
      /\?tensor= one of "embed", "experts\.weight", "experts\.packed"/,
    )
    expect(
      (await put(SAFE, file('checkpoint.safetensors'), '?tensor=embedd')).json<{ detail: string }>().detail,
    ).toMatch(/did you mean embed\?.*model\.safetensors\.index\.json/)
  })

  test('an array without rows is not chosen beside a real one', async () => {
    const place = (shape: string, begin: number, end: number) =>
      `{"dtype":"F32","shape":${shape},"data_offsets":[${begin},${end}]}`
    const text = `{"none":${place('[0,5]', 0, 0)},"real":${place('[1,1]', 0, 4)}}`
    const head = Buffer.alloc(8)
    head.writeBigUInt64LE(BigInt(text.length))
    const body = Buffer.concat([head, Buffer.from(text), Buffer.alloc(4)])
    expect((await put(SAFE, body)).json()).toMatchObject({ rows: 1, dim: 1 })
  })
})

describe('int8 rows as FBGEMM keeps them', () => {
  const rows = Buffer.from(readNpy(file('fbgemm-rows.npy')).data)

  test.each([
    ['as an npy array', NPY, file('fbgemm-rows.npy'), '?input_dtype=int8_rows'],
    ['as bare numbers', 'application/octet-stream', rows, '?rows=7&dim=5&input_dtype=int8_rows'],
    ['as bare numbers of that length', 'application/octet-stream', rows, '?rows=7&dim=5&dtype=int8'],
  ])('are stored to the bit: %s', async (_name, type, body, query) => {
    expect((await put(type, body, query)).json()).toMatchObject({ rows: 7, dim: DIM, dtype: 'int8' })
    expect(await data()).toEqual(rows)
    await put(NPY, file('rows.npy'), '?dtype=int8', 'quantised')
    expect(await data('quantised')).toEqual(rows)
  })

  test('are refused with a scale that is not finite, naming the row, unless that is allowed', async () => {
    const wrong = Buffer.from(rows)
    wrong.writeFloatLE(Infinity, 3 * (DIM + 8) + DIM)
    const query = '?rows=7&dim=5&input_dtype=int8_rows'
    expect((await put('application/octet-stream', wrong, query)).json()).toMatchObject({
      code: 'NON_FINITE',
      detail: expect.stringMatching(/row 3, column \d/) as string,
    })
    expect((await put('application/octet-stream', wrong, `${query}&allow_non_finite=true`)).statusCode).toBe(
      201,
    )
    expect(await data()).toEqual(wrong)
  })

  test.each([
    ['of another width', NPY, 'rows.npy', '?input_dtype=int8_rows', 'SHAPE_MISMATCH'],
    ['as float32', NPY, 'fbgemm-rows.npy', '?input_dtype=int8_rows&dtype=float32', 'DTYPE_MISMATCH'],
    ['without their type', NPY, 'fbgemm-rows.npy', '', 'DTYPE_MISMATCH'],
  ])('are refused %s', async (_name, type, name, query, code) => {
    expect((await put(type, file(name), query)).json()).toMatchObject({ code })
  })
})
