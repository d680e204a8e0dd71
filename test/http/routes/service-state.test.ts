import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { AssertionFailure } from '../../../src/core/assert.ts'
import type { Problem } from '../../../src/http/errors/problem.ts'
import { type Service, startService } from '../../helpers/service.ts'
import { LOOKUP, sendWrong, TABLE, type Wrong } from '../errors/wrong-requests.ts'

let service: Service
beforeAll(async () => {
  service = await startService()
  await service.app.inject({
    method: 'PUT',
    url: TABLE,
    payload: {
      values: [
        [1, 2],
        [3, 4],
      ],
    },
  })
})
afterAll(() => service.close())

describe('the service', () => {
  const refusalOf = async (wrong: Omit<Wrong, 'code'>) => {
    const response = await sendWrong(service.app, { ...wrong, code: 'INTERNAL' })
    return {
      code: response.json<Problem>().code,
      after: response.headers['retry-after'],
      retryable: response.json<Problem>().retryable,
    }
  }

  test('refuses requests for tables while they are being loaded', async () => {
    Object.assign(service.context.health, { state: 'loading', reason: 'tables are being loaded' })
    try {
      const expected = { code: 'NOT_READY', after: '1', retryable: true }
      expect(await refusalOf({ method: 'GET', url: TABLE })).toEqual(expected)
      expect(await refusalOf({ url: LOOKUP, payload: { indices: [0] } })).toEqual(expected)
      expect(await refusalOf({ method: 'GET', url: '/readyz' })).toEqual(expected)
      expect((await service.app.inject({ url: '/livez' })).statusCode).toBe(200)
      expect((await service.app.inject({ url: '/v1/limits' })).statusCode).toBe(200)
    } finally {
      Object.assign(service.context.health, { state: 'ready', reason: 'ready' })
    }
  })

  test('turns readiness off while draining, serves requests, and closes their connections', async () => {
    Object.assign(service.context.health, { state: 'draining', reason: 'the service is shutting down' })
    try {
      expect(await refusalOf({ method: 'GET', url: '/readyz' })).toEqual({
        code: 'SHUTTING_DOWN',
        after: '1',
        retryable: true,
      })
      const response = await service.app.inject({ method: 'POST', url: LOOKUP, payload: { indices: [0] } })
      expect([response.statusCode, response.headers.connection]).toEqual([200, 'close'])
    } finally {
      Object.assign(service.context.health, { state: 'ready', reason: 'ready' })
    }
  })

  test('makes lookups OVERLOADED when the arena is full', async () => {
    const { arena } = service.context.lookups
    const region = arena.reserve(arena.bytesMax - arena.reservedBytes - 128)
    try {
      expect(await refusalOf({ url: LOOKUP, payload: { indices: [0, 1] } })).toEqual({
        code: 'OVERLOADED',
        after: '1',
        retryable: true,
      })
    } finally {
      arena.release(region)
    }
  })

  test('turns an internal error into a 500 with the request id alone, and logs its details', async () => {
    const { registry } = service.context
    const find = registry.find
    registry.find = () => {
      throw new AssertionFailure('secret: /src/tables')
    }
    try {
      const response = await service.app.inject({
        method: 'POST',
        url: LOOKUP,
        payload: { indices: [0] },
        headers: { 'x-request-id': 'mine-1' },
      })
      expect(response.statusCode).toBe(500)
      expect(response.json()).toEqual({
        type: '/docs/errors#INTERNAL',
        title: 'Internal server error',
        status: 500,
        code: 'INTERNAL',
        detail: 'internal server error, logged under the request id mine-1',
        instance: 'mine-1',
        retryable: false,
      })
      const line = service.log.find((entry) => entry.reqId === 'mine-1' && entry.level === 50)
      expect(line).toMatchObject({ method: 'POST', url: LOOKUP, err: { message: 'secret: /src/tables' } })
      expect((line as { err: { stack: string } }).err.stack).toContain('AssertionFailure')
    } finally {
      registry.find = find
    }
  })
})
