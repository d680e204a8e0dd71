import { randomBytes } from 'node:crypto'
import { readdirSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { LIMITS } from '../../../src/core/limits.ts'
import type { TableInfo } from '../../../src/core/types.ts'
import { formatContentDigest } from '../../../src/formats/digest.ts'
import { writeNpyHeader } from '../../../src/formats/npy.ts'
import { removeTables, type Service, startService } from '../../helpers/service.ts'
import { npyBody, safetensorsBody } from '../../upload/bodies.ts'
import { filesOf, sha256 } from '../../upload/staging/staging.ts'
import { runsOf } from '../../helpers/property-runs.ts'

let service: Service
beforeAll(async () => {
  service = await startService()
})
afterEach(async () => {
  await removeTables(service)
  rmSync(service.context.staging.directory, { recursive: true, force: true })
  service.context.staging.limits = LIMITS
})
afterAll(() => service.close())

const NPY = 'application/x-npy'
const floats = (...values: number[]) => Buffer.from(Float32Array.from(values).buffer)
const digestOf = (bytes: Uint8Array) => formatContentDigest(sha256(bytes))

const call = (
  method: 'GET' | 'POST' | 'PUT' | 'DELETE',
  url: string,
  payload?: object | Buffer,
  headers: Record<string, string> = {},
) => service.app.inject({ method, url, payload, headers })
const begin = async (asked: object, table = 't'): Promise<string> => {
  const begun = await call('POST', `/v1/tables/${table}/uploads`, asked)
  expect(begun.statusCode, begun.body).toBe(201)
  return String(begun.headers.location)
}
const putPart = (
  upload: string,
  part: number | string,
  payload: Buffer,
  headers: Record<string, string> = {},
) =>
  call('PUT', `${upload}/parts/${part}`, payload, { 'content-type': 'application/octet-stream', ...headers })
const commit = (upload: string, headers = {}) => call('POST', `${upload}/commit`, undefined, headers)
const codeOf = (response: { json: () => { code?: string } }) => response.json().code
const dataOf = async (table: string) => (await call('GET', `/v1/tables/${table}/data`)).rawPayload
const stagedIn = (upload: string) =>
  filesOf(join(service.context.staging.directory, upload.split('/').at(-1) ?? ''))

describe('an upload in parts', () => {
  test('can be begun, described, listed and deleted', async () => {
    const asked = {
      content_type: NPY,
      bytes: 208,
      digest: digestOf(Buffer.from('x')),
      dtype: 'float16',
      optimizer: { kind: 'adagrad' },
    }
    const begun = await call('POST', '/v1/tables/t/uploads', asked)
    const { content_type, bytes, digest, ...parameters } = asked
    const info = begun.json()
    expect(begun.headers.location).toBe(`/v1/tables/t/uploads/${info.upload}`)
    expect(info).toMatchObject({
      table: 't',
      content_type,
      bytes,
      digest,
      parameters,
      received_bytes: 0,
      parts: [],
      committed: false,
    })
    expect(Date.parse(info.expires_at)).toBeGreaterThan(Date.parse(info.created_at))
    const url = String(begun.headers.location)
    expect((await call('GET', url)).json()).toEqual(info)
    expect((await call('GET', '/v1/tables/t/uploads')).json()).toEqual({ uploads: [info] })
    expect((await call('GET', '/v1/tables/other/uploads')).json()).toEqual({ uploads: [] })
    expect((await call('DELETE', url)).statusCode).toBe(204)
    expect(codeOf(await call('GET', url))).toBe('UPLOAD_NOT_FOUND')
    expect(codeOf(await call('DELETE', url))).toBe('UPLOAD_NOT_FOUND')
    expect(readdirSync(service.context.staging.directory)).toEqual([])
  })

  test('is application/octet-stream of unknown size by default', async () => {
    const info = (await call('GET', await begin({ rows: 1, dim: 2 }))).json()
    expect(info).toMatchObject({
      content_type: 'application/octet-stream',
      bytes: null,
      digest: null,
      parameters: { rows: 1, dim: 2 },
    })
  })

  test('accepts parts in any order and of any media type, and uses the last one of each number', async () => {
    const upload = await begin({ rows: 3, dim: 1 })
    const first = await putPart(upload, 3, floats(3))
    expect(first.statusCode).toBe(200)
    expect(first.json()).toEqual({ part: 3, bytes: 4, digest: digestOf(floats(3)) })
    await putPart(upload, 1, floats(7), { 'content-type': 'text/csv' })
    await putPart(upload, 2, floats(2), { 'content-type': 'application/json' })
    await call('PUT', `${upload}/parts/1`, floats(1), { 'content-digest': digestOf(floats(1)) })
    const { parts, received_bytes } = (await call('GET', upload)).json()
    expect(received_bytes).toBe(12)
    expect(parts).toEqual([1, 2, 3].map((part) => ({ part, bytes: 4, digest: digestOf(floats(part)) })))
    expect((await commit(upload)).statusCode).toBe(201)
    expect(
      (await call('GET', '/v1/tables/t/rows'))
        .json()
        .rows.map(({ embedding }: { embedding: number[] }) => embedding),
    ).toEqual([[1], [2], [3]])
  })

  test('is committed and answered like a PUT of the whole body', async () => {
    const body = npyBody('float32', [3, 2], Float32Array.of(1, 2, 3, 4, 5, 6))
    const query = 'dtype=float16&out_of_range=clip&optimizer=adagrad'
    const direct = await call('PUT', `/v1/tables/a?${query}`, Buffer.from(body), { 'content-type': NPY })
    const asked = {
      content_type: NPY,
      digest: digestOf(body),
      dtype: 'float16',
      out_of_range: 'clip',
      optimizer: 'adagrad',
    }
    const upload = await begin(asked, 'b')
    await putPart(upload, 1, Buffer.from(body.subarray(100)))
    await putPart(upload, 0, Buffer.from(body.subarray(0, 100)))
    const staged = await commit(upload)
    expect(staged.statusCode).toBe(201)
    expect(staged.headers).toMatchObject({
      location: '/v1/tables/b',
      etag: direct.headers.etag,
      'x-table-version': '1',
      'x-table-sequence': '0',
    })
    const same = { name: 'b', created_at: expect.any(String), updated_at: expect.any(String) }
    expect(staged.json()).toEqual({ ...direct.json<TableInfo>(), ...same })
    expect(await dataOf('b')).toEqual(await dataOf('a'))
  })

  test('may choose one array of safetensors, and keeps the settings of a replaced table', async () => {
    await call('PUT', '/v1/tables/t', { rows: 1, dim: 1, padding_index: 0 })
    const [a, b] = [Float32Array.of(1, 2), Float32Array.of(3, 4)]
    const tensor = (name: string, data: Float32Array) => ({
      name,
      elementType: 'float32' as const,
      shape: [2, 1],
      data,
    })
    const body = Buffer.from(safetensorsBody(tensor('a', a), tensor('b', b)))
    const upload = await begin({ content_type: 'application/x-safetensors', tensor: 'b' })
    await putPart(upload, 0, body)
    const replaced = await commit(upload)
    expect(replaced.statusCode).toBe(200)
    expect(replaced.json()).toMatchObject({ version: 2, rows: 2, padding_index: 0 })
    expect((await call('GET', '/v1/tables/t/rows')).json().rows[0].embedding).toEqual([3])
  })
})

describe('a commit of an upload', () => {
  const stage = async (...values: number[]) => {
    const upload = await begin({ rows: values.length, dim: 1 })
    await putPart(upload, 0, floats(...values))
    return upload
  }

  test('gets the same answer when it is repeated, even after the table was replaced', async () => {
    const upload = await stage(5)
    const first = await commit(upload, { 'if-none-match': '*' })
    expect(first.statusCode).toBe(201)
    await call('PUT', '/v1/tables/t', { rows: 9, dim: 9 })
    const again = await commit(upload, { 'if-none-match': '*' })
    expect(again.statusCode).toBe(201)
    expect(again.json()).toEqual(first.json())
    for (const name of ['etag', 'location', 'x-table-version'])
      expect(again.headers[name]).toBe(first.headers[name])
    expect((await call('GET', '/v1/tables/t')).json()).toMatchObject({ version: 2, rows: 9 })
    expect((await call('GET', upload)).json()).toMatchObject({
      committed: true,
      received_bytes: 4,
      parts: [{ part: 0 }],
    })
    expect(readdirSync(service.context.staging.directory)).toHaveLength(1)
    expect(codeOf(await putPart(upload, 1, floats(1)))).toBe('INVALID_REQUEST')
    expect((await call('GET', '/v1/tables/t/uploads')).json()).toEqual({ uploads: [] })
  })

  test('may be conditional like a PUT', async () => {
    await call('PUT', '/v1/tables/t', { rows: 1, dim: 1 })
    const upload = await stage(5)
    expect(codeOf(await commit(upload, { 'if-none-match': '*' }))).toBe('PRECONDITION_FAILED')
    expect(codeOf(await commit(upload, { 'if-match': '"7"' }))).toBe('PRECONDITION_FAILED')
    expect((await commit(upload, { 'if-match': '"1-0"' })).json()).toMatchObject({ version: 2 })
  })

  test('is refused with the numbers of missing parts, and succeeds after they have arrived', async () => {
    const upload = await begin({ rows: 4, dim: 1 })
    for (const part of [0, 3]) await putPart(upload, part, floats(part))
    const refused = (await commit(upload)).json()
    expect(refused).toMatchObject({
      status: 400,
      code: 'INVALID_REQUEST',
      errors: [{ pointer: '/parts/1' }, { pointer: '/parts/2' }],
    })
    for (const part of [1, 2]) await putPart(upload, part, floats(part))
    expect((await commit(upload)).statusCode).toBe(201)
  })

  test.each([
    ['another digest', { rows: 1, dim: 1, digest: digestOf(floats(2)) }, floats(1), 'DIGEST_MISMATCH'],
    ['a number that is not finite', { rows: 1, dim: 1 }, floats(NaN), 'NON_FINITE'],
    ['fewer bytes than announced', { rows: 2, dim: 1, bytes: 8 }, floats(1), 'INVALID_REQUEST'],
    ['fewer bytes than its shape has', { rows: 2, dim: 1 }, floats(1), 'MALFORMED_BODY'],
    ['a body in the wrong format', { content_type: NPY }, Buffer.from('no npy at all'), 'MALFORMED_BODY'],
    [
      'a header that announces more than memory',
      { content_type: NPY },
      Buffer.from(writeNpyHeader('float32', [2 ** 30, 64])),
      'MALFORMED_BODY',
    ],
  ])('of %s is refused and keeps the parts', async (_, asked, body, code) => {
    const upload = await begin(asked)
    await putPart(upload, 0, body)
    expect(codeOf(await commit(upload))).toBe(code)
    expect(codeOf(await call('GET', '/v1/tables/t'))).toBe('TABLE_NOT_FOUND')
    expect((await call('GET', upload)).json()).toMatchObject({
      committed: false,
      received_bytes: body.length,
    })
    expect(codeOf(await commit(upload))).toBe(code)
  })

  test('stores numbers that are not finite when the upload allows them', async () => {
    const upload = await begin({ rows: 1, dim: 1, allow_non_finite: true })
    await putPart(upload, 0, floats(Infinity))
    expect((await commit(upload)).statusCode).toBe(201)
  })

  test('refuses a body, and is UPLOAD_NOT_FOUND for an unknown upload', async () => {
    const upload = await stage(1)
    expect(codeOf(await call('POST', `${upload}/commit`, { a: 1 }))).toBe('INVALID_REQUEST')
    for (const id of ['x', 'f'.repeat(32), '..%2F..', '%00']) {
      expect(codeOf(await commit(`/v1/tables/t/uploads/${id}`)), id).toBe('UPLOAD_NOT_FOUND')
      expect(codeOf(await putPart(`/v1/tables/t/uploads/${id}`, 0, floats(1)))).toBe('UPLOAD_NOT_FOUND')
    }
    expect(codeOf(await commit(upload.replace('/t/', '/other/')))).toBe('UPLOAD_NOT_FOUND')
  })
})

describe('an upload that cannot become a table is refused when it is begun:', () => {
  test.each([
    ['raw numbers without a shape', {}, 'INVALID_REQUEST'],
    ['a shape beside npy', { content_type: NPY, rows: 1 }, 'INVALID_REQUEST'],
    ['a tensor name for raw numbers', { rows: 1, dim: 1, tensor: 'a' }, 'INVALID_REQUEST'],
    ['a total that contradicts the shape', { rows: 1, dim: 1, bytes: 5 }, 'MALFORMED_BODY'],
    ['integers without a dtype', { rows: 1, dim: 1, input_dtype: 'int32' }, 'DTYPE_MISMATCH'],
    ['too many columns', { rows: 1, dim: 65_537 }, 'INVALID_REQUEST'],
    ['an unknown type', { content_type: 'application/json' }, 'INVALID_REQUEST'],
    ['an unknown parameter', { rows: 1, dim: 1, dtypes: 'float16' }, 'INVALID_REQUEST'],
    ['a number as text', { rows: '1', dim: 1 }, 'INVALID_REQUEST'],
    ['a malformed digest', { rows: 1, dim: 1, digest: 'sha-256=x' }, 'INVALID_REQUEST'],
    ['an unknown optimizer', { rows: 1, dim: 1, optimizer: 'lamb' }, 'INVALID_REQUEST'],
    [
      'an optimizer with an unknown member',
      { rows: 1, dim: 1, optimizer: { kind: 'sgd', beta: 1 } },
      'INVALID_REQUEST',
    ],
    ['a fill value beyond float32', { rows: 1, dim: 1, fill_value: 1e300 }, 'NON_FINITE'],
    [
      'more than the limit on staged bytes',
      { content_type: NPY, bytes: Number.MAX_SAFE_INTEGER },
      'BODY_TOO_LARGE',
    ],
  ])('%s', async (_, asked, code) => {
    const refused = await call('POST', '/v1/tables/t/uploads', asked)
    expect(codeOf(refused), refused.body).toBe(code)
    expect((await call('GET', '/v1/tables/t/uploads')).json()).toEqual({ uploads: [] })
  })

  test('another type than JSON, a query, and an invalid name', async () => {
    expect(codeOf(await call('POST', '/v1/tables/t/uploads'))).toBe('MALFORMED_BODY')
    expect(codeOf(await call('POST', '/v1/tables/t/uploads', floats(1), { 'content-type': NPY }))).toBe(
      'UNSUPPORTED_MEDIA_TYPE',
    )
    expect(codeOf(await call('POST', '/v1/tables/t/uploads?rows=1', { rows: 1, dim: 1 }))).toBe(
      'INVALID_REQUEST',
    )
    expect(codeOf(await call('POST', '/v1/tables/.t/uploads', { rows: 1, dim: 1 }))).toBe('INVALID_REQUEST')
  })
})

describe('a part of an upload is refused', () => {
  test.each(['10000', '-1', '01', '1.0', 'x', '..%2F0'])('with the number %s', async (part) => {
    expect(codeOf(await putPart(await begin({ rows: 1, dim: 1 }), part, floats(1)))).toBe('INVALID_REQUEST')
  })

  test('with a wrong digest, no body, an encoding, or more bytes than announced', async () => {
    const upload = await begin({ rows: 1, dim: 1, bytes: 4 })
    expect((await putPart(upload, 9_999, floats(1))).statusCode).toBe(200)
    expect(codeOf(await putPart(upload, 9_999, floats(1), { 'content-digest': digestOf(floats(2)) }))).toBe(
      'DIGEST_MISMATCH',
    )
    expect(codeOf(await putPart(upload, 9_999, floats(1), { 'content-digest': 'sha-256=x' }))).toBe(
      'INVALID_REQUEST',
    )
    expect(codeOf(await putPart(upload, 9_999, floats(1), { 'content-encoding': 'gzip' }))).toBe(
      'UNSUPPORTED_MEDIA_TYPE',
    )
    expect(codeOf(await call('PUT', `${upload}/parts/9999`))).toBe('MALFORMED_BODY')
    const large = await putPart(upload, 0, floats(1))
    expect(large.json()).toMatchObject({
      status: 413,
      code: 'BODY_TOO_LARGE',
      detail: expect.stringContaining('4 bytes'),
    })
    expect((await call('GET', upload)).json().parts).toEqual([
      { part: 9_999, bytes: 4, digest: digestOf(floats(1)) },
    ])
  })

  test('when the disk is full, while tables remain available', async () => {
    const upload = await begin({ rows: 1, dim: 1 })
    service.context.staging.limits = { ...LIMITS, uploadDiskFreeBytesMin: Number.MAX_SAFE_INTEGER }
    expect((await putPart(upload, 0, floats(1))).json()).toMatchObject({ status: 507, code: 'DISK_FULL' })
    expect((await call('GET', '/v1/tables')).statusCode).toBe(200)
  })
})

const MEBIBYTES = runsOf({ quick: 16, long: 64 })

describe('over a real network', () => {
  let address: string
  beforeAll(async () => {
    address = await service.listen()
  })

  test('a part that is cut short leaves no file, and can be sent again', async () => {
    const upload = await begin({ rows: 1, dim: 1 })
    const port = Number(new URL(address).port)
    for (const framing of ['Content-Length: 4', 'Transfer-Encoding: chunked']) {
      const socket = connect(port, '127.0.0.1')
      socket.write(
        `PUT ${upload}/parts/0 HTTP/1.1\r\nHost: here\r\n${framing}\r\n\r\n` +
          (framing.startsWith('T') ? '2\r\nab\r\n' : 'ab'),
      )
      await expect.poll(() => stagedIn(upload)).toHaveLength(1)
      expect((await call('GET', upload)).json().parts).toEqual([])
      socket.destroy()
      await expect.poll(() => stagedIn(upload)).toEqual([])
    }
    expect((await putPart(upload, 0, floats(6))).statusCode).toBe(200)
    expect((await commit(upload)).statusCode).toBe(201)
  })

  test(`${MEBIBYTES} MiB in 8 parts, in a random order, all at once, one of them twice and one cut, equal the same in one`, {
    timeout: 240_000,
  }, async () => {
    const [rows, dim] = [MEBIBYTES * 4_096, 64]
    const values = new Float32Array(rows * dim)
    for (let i = 0; i < values.length; i++) values[i] = Math.fround(i * 0.37)
    const body = npyBody('float32', [rows, dim], values)
    const headers = { 'content-type': NPY }
    const direct = await fetch(`${address}/v1/tables/direct`, {
      method: 'PUT',
      body: body as RequestInit['body'],
      headers,
    })
    expect(direct.status).toBe(201)

    const upload =
      address + (await begin({ content_type: NPY, bytes: body.length, digest: digestOf(body) }, 'staged'))
    const partBytes = Math.ceil(body.length / 8)
    const order = [...Array(8).keys(), 5].sort(() => Math.random() - 0.5)
    const send = async (part: number) => {
      const bytes = body.subarray(part * partBytes, (part + 1) * partBytes)
      const sent = await fetch(`${upload}/parts/${part}`, {
        method: 'PUT',
        body: bytes as RequestInit['body'],
        headers: { 'content-digest': digestOf(bytes) },
      })
      expect(sent.status, await sent.clone().text()).toBe(200)
    }
    const cut = connect(Number(new URL(address).port), '127.0.0.1')
    cut.write(
      `PUT ${new URL(upload).pathname}/parts/2 HTTP/1.1\r\nHost: here\r\n` +
        `Content-Length: ${partBytes}\r\n\r\n`,
    )
    cut.end(randomBytes(100_000))
    await Promise.all(order.map(send))
    const committed = await fetch(`${upload}/commit`, { method: 'POST' })
    expect(committed.status, await committed.clone().text()).toBe(201)
    const [one, other] = await Promise.all(['direct', 'staged'].map(dataOf))
    expect(sha256(other).equals(sha256(one))).toBe(true)
  })
})
