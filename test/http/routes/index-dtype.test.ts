import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Service, startService } from '../../helpers/service.ts'

const RAW = 'application/octet-stream'
const IDS = Buffer.from(BigInt64Array.of(2n, 0n).buffer)

describe.each([true, false])('The type of bare ids that were read (fast path: %s)', (fastPath) => {
  let service: Service
  let url: string
  beforeAll(async () => {
    service = await startService({ fastPath, logLevel: 'warn' })
    url = `${await service.listen()}/v1/tables/t`
    const headers = { 'content-type': 'application/json' }
    const made = await fetch(url, { method: 'PUT', body: '{"values":[[1],[2],[3]]}', headers })
    expect(made.status).toBe(201)
  })
  afterAll(() => service.close())
  const lookup = (query: string, type: string, body: string | Uint8Array<ArrayBuffer>, accept = RAW) =>
    fetch(`${url}/lookup${query}`, { method: 'POST', body, headers: { 'content-type': type, accept } })

  test('is in the answer, whether the request states it or not', async () => {
    for (const accept of [RAW, 'application/json', 'application/x-npy']) {
      const stated = await lookup('?index_dtype=int64', RAW, IDS, accept)
      expect([stated.status, stated.headers.get('x-index-dtype')]).toEqual([200, 'int64'])
    }
    const silent = await lookup('', RAW, IDS)
    expect([silent.headers.get('x-index-dtype'), silent.headers.get('x-shape')]).toEqual(['int32', '4,1'])
  })

  test('is in a refusal too, which it may explain', async () => {
    const refused = await lookup('', RAW, Buffer.from(Float64Array.of(1).buffer))
    expect([refused.status, refused.headers.get('x-index-dtype')]).toEqual([422, 'int32'])
  })

  test('is not stated for bodies that state it themselves', async () => {
    const json = await lookup('', 'application/json', '{"indices":[0]}')
    expect([json.status, json.headers.get('x-index-dtype')]).toEqual([200, null])
  })
})
