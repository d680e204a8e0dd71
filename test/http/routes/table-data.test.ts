import { createHash } from 'node:crypto'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { readNpy, writeNpyHeader } from '../../../src/formats/npy.ts'
import { readSafetensors, writeSafetensorsHeader } from '../../../src/formats/safetensors.ts'
import { removeTables, type Service, startService } from '../../helpers/service.ts'

let service: Service
beforeAll(async () => {
  service = await startService()
})
afterEach(() => removeTables(service))
afterAll(() => service.close())

const VALUES = new Float32Array([0.5, -1.25, 3, 2 ** -24, 65504, -0])
const DATA = Buffer.from(VALUES.buffer)
const NPY = Buffer.concat([writeNpyHeader('float32', [3, 2]), DATA])
const tensor = (name: string) => ({ name, elementType: 'float32' as const, shape: [3, 2] })
const SAFE = Buffer.concat([writeSafetensorsHeader([tensor('words')]).header, DATA])

const put = (type: string, payload: Buffer, query = '', headers = {}) =>
  service.app.inject({
    method: 'PUT',
    url: `/v1/tables/t${query}`,
    payload,
    headers: { 'content-type': type, ...headers },
  })
const download = (accept?: string, headers = {}) =>
  service.app.inject({ url: '/v1/tables/t/data', headers: { ...(accept && { accept }), ...headers } })
const rows = async (): Promise<(number | null)[]> =>
  (await service.app.inject({ url: '/v1/tables/t/rows' }))
    .json()
    .rows.flatMap((row: { embedding: (number | null)[] }) =>
      row.embedding.map((value) => (value === null ? null : Math.fround(value))),
    )

describe('a table can be uploaded', () => {
  test.each([
    ['npy', 'application/x-npy', NPY, ''],
    ['safetensors', 'application/x-safetensors', SAFE, ''],
    ['raw numbers', 'application/octet-stream', DATA, '?rows=3&dim=2'],
  ])('as %s', async (_name, type, body, query) => {
    const response = await put(type, body, query)
    expect(response.statusCode).toBe(201)
    expect(response.headers).toMatchObject({ etag: '"1-0-0"', location: '/v1/tables/t' })
    expect(response.json()).toMatchObject({ rows: 3, dim: 2, dtype: 'float32', bytes: 24 })
    expect(await rows()).toEqual([...VALUES])
  })

  test('as one named array of several', async () => {
    const both = Buffer.concat([
      writeSafetensorsHeader([tensor('a'), tensor('b')]).header,
      Buffer.alloc(24),
      DATA,
    ])
    expect((await put('application/x-safetensors', both)).json()).toMatchObject({ code: 'INVALID_REQUEST' })
    expect((await put('application/x-safetensors', both, '?tensor=b')).statusCode).toBe(201)
    expect(await rows()).toEqual([...VALUES])
  })

  test('with another element type than it stores', async () => {
    const response = await put(
      'application/octet-stream',
      Buffer.from(new Float64Array([0.5, 0.25]).buffer),
      '?rows=1&dim=2&input_dtype=float64&dtype=bfloat16',
    )
    expect(response.json()).toMatchObject({ dtype: 'bfloat16', bytes: 4 })
    expect(await rows()).toEqual([0.5, 0.25])
  })

  test('with NaN and infinity when they are allowed', async () => {
    const body = Buffer.from(new Float32Array([Number.NaN, Number.POSITIVE_INFINITY]).buffer)
    expect((await put('application/octet-stream', body, '?rows=1&dim=2')).json()).toMatchObject({
      code: 'NON_FINITE',
    })
    expect(
      (await put('application/octet-stream', body, '?rows=1&dim=2&allow_non_finite=true')).statusCode,
    ).toBe(201)
    expect(await rows()).toEqual([null, null])
  })

  test('with settings in the query, under the names of PATCH', async () => {
    const optimizer = encodeURIComponent('{"kind":"adam","learning_rate":0.5}')
    const query =
      '?out_of_range=fill&fill_value=-1.5&padding_index=-1&durability=os&keep_versions=1' +
      `&optimizer=${optimizer}`
    expect((await put('application/x-npy', NPY, query)).json()).toMatchObject({
      out_of_range: 'fill',
      fill_value: -1.5,
      padding_index: -1,
      durability: 'os',
      keep_versions: 1,
      optimizer: { kind: 'adam', learning_rate: 0.5, beta1: 0.9 },
    })
    expect((await put('application/x-npy', NPY, '?optimizer=adagrad&fill_value=null')).json()).toMatchObject({
      optimizer: { kind: 'adagrad' },
      fill_value: null,
    })
  })

  test('with a digest that is verified', async () => {
    const digest = createHash('sha256').update(NPY).digest('base64')
    expect(
      (await put('application/x-npy', NPY, '', { 'content-digest': `sha-256=:${digest}:` })).statusCode,
    ).toBe(201)
    expect((await put('application/x-npy', NPY, '', { 'content-digest': 'sha-512=:AAAA:' })).statusCode).toBe(
      200,
    )
    const specification = Buffer.from('{"rows":1,"dim":1}')
    const other = createHash('sha256').update(specification).digest('base64')
    expect(
      (await put('application/json', specification, '', { 'content-digest': `sha-256=:${other}:` }))
        .statusCode,
    ).toBe(200)
  })
})

test('A refused upload changes neither the table nor the reserved memory', async () => {
  await put('application/x-npy', NPY)
  const { reservedBytes } = service.writer.memory
  for (const body of [
    NPY.subarray(0, 90),
    NPY.subarray(0, NPY.length - 1),
    Buffer.concat([NPY, Buffer.alloc(1)]),
  ]) {
    expect((await put('application/x-npy', body)).json()).toMatchObject({ code: 'MALFORMED_BODY' })
  }
  expect(await rows()).toEqual([...VALUES])
  expect(service.writer.memory.reservedBytes).toBe(reservedBytes)
  expect((await service.app.inject({ url: '/v1/tables/t' })).headers.etag).toBe('"1-0-0"')
})

describe('a table is downloaded', () => {
  beforeEach(async () => {
    await put('application/x-npy', NPY)
  })

  test('as npy by default', async () => {
    const response = await download()
    expect(response.headers).toMatchObject({
      'content-type': 'application/x-npy',
      'content-length': String(NPY.length),
      'content-disposition': 'attachment; filename="t.npy"',
      'x-shape': '3,2',
      'x-dtype': 'float32',
      etag: '"1-0.npy"',
      'x-table-version': '1',
      'x-table-sequence': '0',
      vary: 'accept',
    })
    expect(response.rawPayload.equals(NPY)).toBe(true)
    const read = readNpy(response.rawPayload)
    expect([read.elementType, read.shape]).toEqual(['float32', [3, 2]])
  })

  test('as safetensors or raw numbers by Accept', async () => {
    const safetensors = await download('application/x-safetensors')
    expect(safetensors.headers['content-type']).toBe('application/x-safetensors')
    expect(
      Buffer.from(readSafetensors(safetensors.rawPayload).get('embeddings')?.data ?? []).equals(DATA),
    ).toBe(true)
    const raw = await download('application/octet-stream, */*;q=0.1')
    expect(raw.headers['content-type']).toBe('application/octet-stream')
    expect(raw.rawPayload.equals(DATA)).toBe(true)
  })

  test('as safetensors by default when npy lacks the dtype', async () => {
    await put('application/x-npy', NPY, '?dtype=bfloat16')
    const response = await download()
    expect(response.headers).toMatchObject({
      'content-type': 'application/x-safetensors',
      'x-dtype': 'bfloat16',
    })
    expect(readSafetensors(response.rawPayload).get('embeddings')?.elementType).toBe('bfloat16')
    expect((await download('application/x-npy')).json()).toMatchObject({ code: 'NOT_ACCEPTABLE' })
  })

  test('without a body by HEAD', async () => {
    for (const accept of ['application/x-npy', 'application/x-safetensors', 'application/octet-stream']) {
      const whole = await download(accept)
      const head = await service.app.inject({ method: 'HEAD', url: '/v1/tables/t/data', headers: { accept } })
      expect([head.statusCode, head.body]).toEqual([200, ''])
      expect({ ...head.headers, date: '' }).toEqual({ ...whole.headers, date: '' })
    }
  })

  test('only if it has changed, by If-None-Match', async () => {
    const tag = '"1-0.npy"'
    const whole = await download()
    for (const sent of [tag, `W/${tag}`, `"other", ${tag}`, '*']) {
      const same = await download(undefined, { 'if-none-match': sent })
      expect([sent, same.statusCode, same.body]).toEqual([sent, 304, ''])
      for (const name of ['etag', 'cache-control', 'vary', 'x-table-version', 'x-table-sequence'])
        expect([name, same.headers[name]]).toEqual([name, whole.headers[name]])
    }
    const otherFormat = await download('application/octet-stream', { 'if-none-match': tag })
    expect([otherFormat.statusCode, otherFormat.headers.etag]).toEqual([200, '"1-0.raw"'])
    await service.app.inject({
      method: 'POST',
      url: '/v1/tables/t/rows',
      payload: { op: 'set', indices: [0], values: [[1, 1]] },
    })
    const changed = await download(undefined, { 'if-none-match': tag })
    expect([changed.statusCode, changed.headers.etag]).toEqual([200, '"1-1.npy"'])
  })
})
