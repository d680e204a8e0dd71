import { request } from 'node:http'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { writeSafetensorsHeader } from '../../../src/formats/safetensors.ts'
import type { Problem } from '../../../src/http/errors/problem.ts'
import { makeDataDir } from '../../helpers/data-dir.ts'
import { removeTables, type Service, startService } from '../../helpers/service.ts'

let service: Service
beforeAll(async () => {
  service = await startService()
})
beforeEach(() => putTable())
afterEach(() => removeTables(service))
afterAll(() => service.close())

interface Update {
  key?: string
  path?: string
  payload?: object
  headers?: Record<string, string>
}

const putTable = (more: object = {}) =>
  service.app.inject({ method: 'PUT', url: '/v1/tables/t', payload: { rows: 2, dim: 2, ...more } })
const ADD = { op: 'add', indices: [1], values: [[1, 1]] }
const send = ({ key, path = 't/rows', payload = ADD, headers = {} }: Update) =>
  service.app.inject({
    method: 'POST',
    url: `/v1/tables/${path}`,
    payload,
    headers: { ...(key !== undefined && { 'idempotency-key': key }), ...headers },
  })
const codeOf = async (update: Update) => {
  const answer = await send(update)
  return [answer.statusCode, answer.json<Problem>().code]
}
const lookUp = async () =>
  (await service.app.inject({ method: 'POST', url: '/v1/tables/t/lookup', payload: { indices: 1 } })).json<{
    embeddings: number[]
  }>().embeddings

describe('A request that is repeated with its key', () => {
  test('gets the first result in body and headers, and changes nothing', async () => {
    const first = await send({ key: 'a' })
    expect(first.json()).toEqual({
      table: 't',
      version: 1,
      sequence: 1,
      rows_updated: 1,
      durability: 'disk',
      replayed: false,
    })
    await send({})
    const again = await send({ key: 'a' })
    expect(again.statusCode).toBe(200)
    expect(again.json()).toEqual({ ...first.json(), replayed: true })
    expect(again.headers).toMatchObject({ etag: '"1-1"', 'x-table-version': '1', 'x-table-sequence': '1' })
    expect(await lookUp()).toEqual([2, 2])
  })

  test('may have the key in quotes', async () => {
    await send({ key: '"a"' })
    expect((await send({ key: 'a' })).json()).toMatchObject({ sequence: 1, replayed: true })
  })

  test('is answered even if If-Match fails now or the table was replaced', async () => {
    const guarded = { key: 'a', headers: { 'if-match': '"1-0"' } }
    await send(guarded)
    expect((await send(guarded)).json()).toMatchObject({ version: 1, sequence: 1, replayed: true })
    await putTable({ rows: 1, dim: 3 })
    expect((await send(guarded)).json()).toMatchObject({ version: 1, sequence: 1, replayed: true })
    expect(await codeOf({ key: 'b' })).toEqual([422, 'SHAPE_MISMATCH'])
  })

  test('is applied again if it has no key', async () => {
    await send({})
    expect((await send({})).json()).toMatchObject({ sequence: 2, replayed: false })
  })

  test('is recognized even if it updates no rows', async () => {
    const nothing = { key: 'a', payload: { op: 'add', indices: [], values: [] } }
    expect((await send(nothing)).json()).toMatchObject({ sequence: 0, rows_updated: 0, replayed: false })
    await send({})
    expect((await send(nothing)).json()).toMatchObject({ sequence: 0, rows_updated: 0, replayed: true })
  })
})

describe('A key that is reused for another request is IDEMPOTENCY_MISMATCH:', () => {
  const gradients = { path: 't/gradients', payload: { indices: [1], gradients: [[1, 1]] } }
  const tensors = (() => {
    const { header } = writeSafetensorsHeader([
      { name: 'indices', elementType: 'int32', shape: [1] },
      { name: 'gradients', elementType: 'float32', shape: [1, 2] },
    ])
    const payload = Buffer.concat([
      header,
      Buffer.from(Int32Array.of(1).buffer),
      Buffer.from(Float32Array.of(1, 1).buffer),
    ])
    return { path: 't/gradients', payload, headers: { 'content-type': 'application/x-safetensors' } }
  })()
  const rate = { ...tensors, path: 't/gradients?learning_rate=0.5' }
  test.each<[string, Update, Update]>([
    ['other values', {}, { payload: { ...ADD, values: [[2, 1]] } }],
    ['another operation', {}, { payload: { ...ADD, op: 'set' } }],
    ['another route', {}, gradients],
    [
      'another learning rate in the body',
      gradients,
      { ...gradients, payload: { ...gradients.payload, learning_rate: 1 } },
    ],
    ['another learning rate in the query', tensors, rate],
    ['another type of body', gradients, tensors],
    ['invalid values', {}, { payload: { ...ADD, values: [[1]] } }],
  ])('%s', async (_what, one, other) => {
    expect((await send({ ...one, key: 'a' })).statusCode).toBe(200)
    expect(await codeOf({ ...other, key: 'a' })).toEqual([422, 'IDEMPOTENCY_MISMATCH'])
    expect((await send({ ...one, key: 'a' })).json()).toMatchObject({ sequence: 1, replayed: true })
  })
})

describe('An Idempotency-Key of an update', () => {
  test('belongs to one table, and is forgotten with it', async () => {
    await service.app.inject({ method: 'PUT', url: '/v1/tables/u', payload: { rows: 2, dim: 2 } })
    await send({ key: 'a' })
    expect((await send({ key: 'a', path: 'u/rows' })).json()).toMatchObject({ table: 'u', replayed: false })
    await service.app.inject({ method: 'DELETE', url: '/v1/tables/t' })
    await putTable()
    expect((await send({ key: 'a' })).json()).toMatchObject({ version: 2, sequence: 1, replayed: false })
  })

  test('can be used again after its request was refused', async () => {
    expect(await codeOf({ key: 'a', payload: { ...ADD, indices: [2] } })).toEqual([422, 'INDEX_OUT_OF_RANGE'])
    expect(await codeOf({ key: 'a', headers: { 'if-match': '"7"' } })).toEqual([412, 'PRECONDITION_FAILED'])
    expect((await send({ key: 'a' })).json()).toMatchObject({ sequence: 1, replayed: false })
  })

  test('is refused as IDEMPOTENCY_IN_FLIGHT while its first request is running', async () => {
    const release = vi.spyOn(service.writer.storage.keys, 'release').mockImplementation(() => {})
    await send({ key: 'a' })
    release.mockRestore()
    const answer = await send({ key: 'a' })
    expect([answer.statusCode, answer.json<Problem>().code, answer.headers['retry-after']]).toEqual([
      409,
      'IDEMPOTENCY_IN_FLIGHT',
      '1',
    ])
    expect(await codeOf({ key: 'a', payload: { ...ADD, op: 'set' } })).toEqual([422, 'IDEMPOTENCY_MISMATCH'])
    expect(await lookUp()).toEqual([1, 1])
  })

  test.each(['', '""', 'a b', '"a', 'k'.repeat(129)])(
    'is refused as INVALID_REQUEST without a change when it is %j',
    async (key) => {
      expect(await codeOf({ key })).toEqual([400, 'INVALID_REQUEST'])
      expect(await lookUp()).toEqual([0, 0])
    },
  )

  test('is refused as INVALID_REQUEST when it comes in two headers', async () => {
    const url = await service.listen()
    const body = JSON.stringify(ADD)
    const status = await new Promise((resolve, reject) => {
      const headers = {
        'content-type': 'application/json',
        'content-length': body.length,
        'idempotency-key': ['a', 'b'],
      }
      const outgoing = request(
        `${url}/v1/tables/t/rows`,
        { method: 'POST', headers, agent: false },
        (answer) => {
          answer.resume()
          resolve(answer.statusCode)
        },
      )
      outgoing.once('error', reject).end(body)
    })
    expect(status).toBe(400)
    expect(await lookUp()).toEqual([0, 0])
  })
})

test.each(['disk', 'os', 'none'])('Keys of durability %s are known after a restart', async (durability) => {
  const { dataDir, remove } = makeDataDir()
  const outer = service
  try {
    service = await startService({ dataDir })
    await putTable({ durability })
    const first = await send({ key: 'a' })
    await service.close()
    service = await startService({ dataDir })
    expect((await send({ key: 'a' })).json()).toEqual({ ...first.json(), durability, replayed: true })
    expect(await codeOf({ key: 'a', payload: { ...ADD, op: 'set' } })).toEqual([422, 'IDEMPOTENCY_MISMATCH'])
    expect((await send({ key: 'b' })).json()).toMatchObject({ sequence: 2, replayed: false })
    expect(await lookUp()).toEqual([2, 2])
    await service.close()
  } finally {
    service = outer
    remove()
  }
})
