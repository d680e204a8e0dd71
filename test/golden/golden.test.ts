import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type Service, startService } from '../helpers/service.ts'
import {
  BINARY_FORMS,
  createGoldenTable,
  flatten,
  type GoldenCase,
  readBinary,
  readSuite,
  runCase,
  type Send,
  sendBinary,
} from './golden.ts'

let service: Service
beforeAll(async () => {
  service = await startService()
})
afterEach(async () => {
  await service.app.inject({ method: 'DELETE', url: '/v1/tables/golden' })
})
afterAll(() => service.close())

const send: Send = async (method, url, body, accept) => {
  const headers = { ...(body && { 'content-type': body.type }), ...(accept && { accept }) }
  const payload = body && (typeof body.bytes === 'string' ? body.bytes : Buffer.from(body.bytes))
  const answer = await service.app.inject({ method, url, headers, payload })
  return { status: answer.statusCode, headers: answer.headers, bytes: answer.rawPayload }
}

describe.each(['take', 'bags', 'attend', 'edge', 'dtypes', 'optimizers'])('Golden suite %s through HTTP', (suite) => {
  test.each(readSuite(suite))('$name', (golden) => runCase(send, golden))
})

const isPlainLookup = ({ request, expect: expected }: GoldenCase) =>
  expected !== undefined && request !== undefined && !('dtype' in request)

describe.each(BINARY_FORMS)('Golden suite take as %s, to the bit', (type) => {
  test.each(readSuite('take').filter(isPlainLookup))('$name', async (golden) => {
    if (golden.table !== null) await createGoldenTable(send, 'golden', golden.table)
    const answer = await sendBinary(send, golden, type)
    expect(answer.status, answer.bytes.toString()).toBe(200)
    const { shape, values } = readBinary(answer, type)
    expect(shape).toEqual(golden.expect?.shape)
    expect(Array.from(values)).toEqual(flatten(golden.expect?.embeddings ?? []))
  })
})
