import { PassThrough } from 'node:stream'
import type { Socket } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { LIMITS } from '../../src/core/limits.ts'
import { answerClientError } from '../../src/http/errors/client-errors.ts'
import { type Service, startService } from '../helpers/service.ts'

let service: Service
afterEach(() => service.close())

describe('requests to the app', () => {
  beforeEach(async () => {
    service = await startService()
  })

  test('keep the request id of the client in answers and problems', async () => {
    const headers = { 'x-request-id': 'trace-7' }
    expect((await service.app.inject({ url: '/livez', headers })).headers['x-request-id']).toBe('trace-7')
    const refused = await service.app.inject({ url: '/none', headers })
    expect([refused.headers['x-request-id'], refused.json().instance]).toEqual(['trace-7', 'trace-7'])
  })

  test('get a new id when the client gave none, or one that is unfit for a log', async () => {
    const ids = new Set<string>()
    for (const headers of [
      {},
      {},
      { 'x-request-id': 'a b' },
      { 'x-request-id': '' },
      { 'x-request-id': 'x'.repeat(200) },
    ]) {
      const { instance } = (await service.app.inject({ url: '/none', headers })).json()
      expect(instance).toMatch(/^[\w-]+-[0-9a-z]+$/)
      ids.add(instance)
    }
    expect(ids.size).toBe(5)
    expect((await service.app.inject({ url: '/livez' })).headers['x-request-id']).toBeUndefined()
  })

  test('are bounded by the limits of the service', () => {
    const { server } = service.app
    expect(server.headersTimeout).toBe(LIMITS.headersTimeoutMs)
    expect(server.keepAliveTimeout).toBe(75_000)
    expect(server.maxConnections).toBe(LIMITS.connectionCountMax)
    expect(server.requestTimeout).toBe(0)
    expect(server.maxHeadersCount).toBe(0)
  })

  test('with HEAD are answered like GET without the body', async () => {
    for (const url of ['/livez', '/v1/limits', '/v1/tables', '/openapi.json', '/docs/errors']) {
      const [get, head] = [
        await service.app.inject({ url }),
        await service.app.inject({ method: 'HEAD', url }),
      ]
      expect([head.statusCode, head.body, head.headers['content-length']]).toEqual([
        200,
        '',
        get.headers['content-length'],
      ])
    }
  })

  test('to /v1/limits are answered with every limit', async () => {
    expect((await service.app.inject({ url: '/v1/limits' })).json()).toEqual(LIMITS)
  })
})

describe('the log of the app', () => {
  const lookupOnce = async (logLevel: string) => {
    service = await startService({ logLevel })
    await service.app.inject({ method: 'PUT', url: '/v1/tables/t', payload: { values: [[1]] } })
    await service.app.inject({
      method: 'POST',
      url: '/v1/tables/t/lookup',
      payload: { indices: [0] },
      headers: { authorization: 'Bearer secret' },
    })
    await service.app.inject({ method: 'POST', url: '/v1/tables/t/lookup', payload: { indices: [9] } })
    return service.log
  }

  test('has no line for a request that succeeded or was refused', async () => {
    expect(await lookupOnce('info')).toEqual([])
  })

  test('has lines with id, status and time at level debug', async () => {
    const log = await lookupOnce('debug')
    expect(log.map(({ msg }) => msg)).toEqual(['answered', 'answered', 'refused', 'answered'])
    expect(log[1]).toMatchObject({
      level: 20,
      method: 'POST',
      url: '/v1/tables/t/lookup',
      status: 200,
      reqId: expect.any(String),
      ms: expect.any(Number),
    })
    expect(log[2]).toMatchObject({ level: 20, err: { code: 'INDEX_OUT_OF_RANGE' }, reqId: log[3].reqId })
    expect(JSON.stringify(log)).not.toContain('secret')
  })

  test('contains no access key, even when headers are logged', async () => {
    service = await startService({ logLevel: 'info' })
    service.app.log.info({ headers: { authorization: 'Bearer secret', host: 'x' } }, 'headers')
    service.app.log.info({ req: { headers: { authorization: 'Bearer secret' } } }, 'request')
    expect(service.log).toHaveLength(2)
    expect(JSON.stringify(service.log)).not.toContain('secret')
  })
})

describe('a connection whose bytes are not a request', () => {
  beforeEach(async () => {
    service = await startService()
  })

  const answerTo = (code: string): string => {
    const socket = Object.assign(new PassThrough(), { destroySoon: () => {} })
    answerClientError(Object.assign(new Error('parser'), { code }), socket as unknown as Socket, 'id-1')
    return String(socket.read() ?? '')
  }

  test('is answered with the status of its mistake', () => {
    expect(answerTo('ERR_HTTP_REQUEST_TIMEOUT')).toMatch(/^HTTP\/1\.1 408 Request Timeout\r\n/)
    expect(answerTo('HPE_HEADER_OVERFLOW')).toMatch(/^HTTP\/1\.1 431 /)
    expect(answerTo('HPE_INVALID_METHOD')).toMatch(/^HTTP\/1\.1 400 /)
    const text = answerTo('HPE_INVALID_METHOD')
    const [head, body] = text.split('\r\n\r\n')
    expect(head).toContain(`content-length: ${Buffer.byteLength(body)}`)
    expect(JSON.parse(body)).toMatchObject({ status: 400, instance: 'id-1' })
  })

  test('is not answered while another answer is being sent', () => {
    const socket = Object.assign(new PassThrough(), {
      destroySoon: () => {},
      _httpMessage: { req: { complete: false }, headersSent: true },
    })
    answerClientError(
      Object.assign(new Error('parser'), { code: 'HPE_INVALID_CHUNK_SIZE' }),
      socket as unknown as Socket,
      'id-1',
    )
    expect(socket.read()).toBeNull()
  })

  test('is not answered when the client has disconnected', () => {
    expect(answerTo('ECONNRESET')).toBe('')
  })
})
