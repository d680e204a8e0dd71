import { createHash } from 'node:crypto'
import { Type } from 'typebox'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { defineRoute, formatsOf, methodsOf, type Route } from '../../src/http/define-route.ts'
import { ROUTES } from '../../src/http/routes.ts'
import { NoQuery } from '../../src/http/schemas/table.ts'
import { type Service, startService } from '../helpers/service.ts'

/** A route that only this test has. It answers with what it got of a request. */
const toyRoute = defineRoute({
  method: 'POST',
  url: '/v1/toy/:name',
  scope: 'admin',
  tag: 'service',
  summary: 'A toy',
  params: Type.Object({ name: Type.String() }),
  query: NoQuery,
  response: { 200: Type.Object({}) },
  accepts: { whole: ['json', 'npy'] },
  bodyBytesMax: 64,
  answers: ['json', 'npy'],
  deadline: true,
  conditional: true,
  idempotent: true,
  verifiesDigest: true,
  errors: ['DISK_FULL'],
  handler: (_context, { params, body, bodyFormat, encoding, precondition, idempotencyKey, digest, reply }) =>
    void reply.send({
      ...{ name: params.name, body: body.toString(), bodyFormat, encoding, precondition, idempotencyKey },
      digest: digest && Buffer.from(digest).toString('hex'),
    }),
})
const plainRoute = defineRoute({
  ...{ method: 'POST', url: '/v1/plain', scope: 'read', summary: 'A toy without options' },
  response: { 200: Type.Object({}) },
  accepts: 'nothing',
  answers: ['json'],
  errors: [],
  handler: (_context, { precondition, idempotencyKey, digest, encoding, reply }) =>
    void reply.send({ precondition, idempotencyKey, digest, encoding }),
})

let service: Service
// The service registers the routes of the list at its start, and the list is restored at once, because other
// test files in this process read it.
beforeAll(async () => {
  const routes = ROUTES as Route[]
  routes.push(toyRoute, plainRoute)
  try {
    service = await startService()
  } finally {
    routes.splice(-2)
  }
})
afterAll(() => service.close())

const send = async (headers: Record<string, string> = {}, payload: string | undefined = '{}') => {
  const response = await service.app.inject({
    method: 'POST',
    url: '/v1/toy/a',
    headers: { 'content-type': 'application/json', ...headers },
    payload,
  })
  return { status: response.statusCode, ...response.json<Record<string, unknown>>() }
}

describe('A declared route', () => {
  test('hands the handler what the request states', async () => {
    const sha256 = createHash('sha256').update('{}').digest()
    const headers = {
      accept: 'application/x-npy',
      'if-match': '"1-2"',
      'if-none-match': '*',
      'idempotency-key': '"k-1"',
      'content-digest': `sha-256=:${sha256.toString('base64')}:`,
      'x-request-timeout-ms': '60000',
    }
    expect(await send(headers)).toEqual({
      status: 200,
      name: 'a',
      body: '{}',
      bodyFormat: 'json',
      encoding: 'npy',
      precondition: { ifMatch: ['1-2'], ifNoneMatch: ['*'] },
      idempotencyKey: 'k-1',
      digest: sha256.toString('hex'),
    })
  })

  test('answers in its first format to a request without Accept', async () => {
    expect(await send()).toMatchObject({ status: 200, encoding: 'json', precondition: {} })
  })

  test.each([
    [406, 'NOT_ACCEPTABLE', 'an Accept without one of its formats', { accept: 'text/html' }],
    [
      415,
      'UNSUPPORTED_MEDIA_TYPE',
      'a body of another format',
      { 'content-type': 'application/octet-stream' },
    ],
    [504, 'DEADLINE_EXCEEDED', 'a deadline that has passed', { 'x-request-timeout-ms': '0' }],
    [400, 'INVALID_REQUEST', 'an If-Match that is not an entity tag', { 'if-match': '1-2' }],
    [400, 'INVALID_REQUEST', 'an invalid Idempotency-Key', { 'idempotency-key': 'a b' }],
    [400, 'INVALID_REQUEST', 'an invalid Content-Digest', { 'content-digest': 'sha-256=x' }],
  ])('refuses with %i %s %s', async (status, code, _what, headers) => {
    expect(await send(headers)).toMatchObject({ status, code })
  })

  test('refuses a missing body, and one that is longer than it declares', async () => {
    const missing = await service.app.inject({ method: 'POST', url: '/v1/toy/a' })
    expect([missing.statusCode, missing.json<{ code: string }>().code]).toEqual([400, 'MALFORMED_BODY'])
    expect(await send({}, ' '.repeat(65))).toMatchObject({ status: 413, code: 'BODY_TOO_LARGE' })
  })

  test('ignores the headers that it does not declare', async () => {
    const response = await service.app.inject({
      method: 'POST',
      url: '/v1/plain',
      headers: {
        'if-match': '1-2',
        'idempotency-key': 'a b',
        'content-digest': 'x',
        'x-request-timeout-ms': '0',
      },
    })
    expect([response.statusCode, response.json()]).toEqual([200, { precondition: {}, encoding: 'json' }])
  })

  test('refuses a body when it accepts nothing', async () => {
    const response = await service.app.inject({ method: 'POST', url: '/v1/plain', payload: { a: 1 } })
    expect([response.statusCode, response.json<{ code: string }>().code]).toEqual([400, 'INVALID_REQUEST'])
  })

  test('is shown with its scope, body formats and errors, unless it has no tag', async () => {
    const { paths } = (await service.app.inject('/openapi.json')).json<{ paths: Record<string, unknown> }>()
    const { post } = paths['/v1/toy/{name}'] as { post: Record<string, object> }
    expect(post['x-scope']).toBe('admin')
    const statuses = ['400', '406', '409', '412', '413', '415', '504', '507']
    expect(Object.keys(post.responses)).toEqual(expect.arrayContaining(statuses))
    expect(paths).not.toHaveProperty('/v1/plain')
  })
})

test('A declaration lists its methods and its body formats', () => {
  expect(methodsOf(toyRoute)).toEqual(['POST'])
  expect(methodsOf({ method: ['GET', 'QUERY'] })).toEqual(['GET', 'QUERY'])
  expect(formatsOf(toyRoute)).toEqual(['json', 'npy'])
  expect(formatsOf({ accepts: { whole: ['json'], streamed: ['raw'] } })).toEqual(['json', 'raw'])
  expect(formatsOf(plainRoute)).toEqual([])
})

describe('A Content-Digest', () => {
  const digestOf = (body: string): string => `sha-256=:${createHash('sha256').update(body).digest('base64')}:`
  const call = (method: 'PUT' | 'PATCH' | 'POST', url: string, body: string, digest: string) =>
    service.app.inject({
      method,
      url: `/v1/tables/digested${url}`,
      headers: { 'content-type': 'application/json', 'content-digest': digest },
      payload: body,
    })
  const bodies = [
    ['PATCH', '', '{"fill_value":7}'],
    ['POST', '/rows', '{"op":"set","indices":[0],"values":[[5]]}'],
    ['POST', '/gradients', '{"indices":[0],"gradients":[[1]]}'],
    ['POST', '/lookup', '{"indices":[0]}'],
  ] as const

  test('that is not the one of the body is refused on every route with a body, and changes nothing', async () => {
    const table = '{"values":[[1],[2]]}'
    expect((await call('PUT', '', table, digestOf(table))).statusCode).toBe(201)
    for (const [method, url, body] of bodies) {
      const wrong = await call(method, url, body, digestOf('another body'))
      expect([wrong.statusCode, wrong.json<{ code: string }>().code]).toEqual([422, 'DIGEST_MISMATCH'])
      const malformed = await call(method, url, body, 'sha-256=hello world')
      expect([malformed.statusCode, malformed.json<{ code: string }>().code]).toEqual([
        400,
        'INVALID_REQUEST',
      ])
    }
    expect((await service.app.inject('/v1/tables/digested')).json()).toMatchObject({
      sequence: 0,
      fill_value: null,
    })
    expect(service.writerErrors).toEqual([])
  })

  test('that is the one of the body lets it pass', async () => {
    for (const [method, url, body] of bodies)
      expect((await call(method, url, body, digestOf(body))).statusCode, url).toBe(200)
  })
})
