import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { writeNpyHeader } from '../../src/formats/npy.ts'
import { type Service, startService } from '../helpers/service.ts'

let service: Service
beforeAll(async () => {
  service = await startService({ segmentBytesMax: 16 * 65_536 })
})
afterAll(() => service.close())

/** An npy body of a matrix in column order. */
const columns = (rows: number, dim: number, values: Float32Array): Buffer => {
  const header = Buffer.from(writeNpyHeader('float32', [rows, dim]))
  const text = header.toString('latin1').replace("'fortran_order': False", "'fortran_order': True ")
  const moved = new Float32Array(values.length)
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < dim; column++) moved[column * rows + row] = values[row * dim + column]
  return Buffer.concat([Buffer.from(text, 'latin1'), Buffer.from(moved.buffer)])
}
const put = (payload: Buffer, query = '') =>
  service.app.inject({
    method: 'PUT',
    url: `/v1/tables/t?durability=none${query}`,
    payload,
    headers: { 'content-type': 'application/x-npy' },
  })
const data = async (): Promise<Buffer> =>
  (await service.app.inject({ url: '/v1/tables/t/data', headers: { accept: 'application/octet-stream' } }))
    .rawPayload

describe('Columns become rows', () => {
  test.each([
    [5000, 130],
    [257, 3],
    [4100, 64],
    [70, 5000],
    [3, 2],
  ])('of a table of %i x %i, in several panels and segments', async (rows, dim) => {
    const values = Float32Array.from({ length: rows * dim }, (_, i) => (i * 7919) % 65_521)
    expect((await put(columns(rows, dim, values))).json()).toMatchObject({ rows, dim })
    expect((await data()).equals(Buffer.from(values.buffer))).toBe(true)
    await put(columns(rows, dim, values), '&dtype=bfloat16')
    const rounded = Uint16Array.from(
      new Uint32Array(values.buffer),
      (bits) => (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16,
    )
    expect((await data()).equals(Buffer.from(rounded.buffer))).toBe(true)
  })

  test('and the first number in row order that is not finite is named', async () => {
    const values = new Float32Array(3000 * 70)
    for (const [row, column] of [
      [2999, 0],
      [1500, 60],
      [1500, 69],
      [2000, 1],
    ])
      values[row * 70 + column] = NaN
    expect((await put(columns(3000, 70, values))).json()).toMatchObject({
      code: 'NON_FINITE',
      detail: expect.stringContaining('row 1500, column 60') as string,
    })
  })

  test('or nothing, when a column is missing', async () => {
    const body = columns(300, 4, new Float32Array(1200))
    expect((await put(body.subarray(0, -1))).json()).toMatchObject({ code: 'MALFORMED_BODY' })
  })
})
