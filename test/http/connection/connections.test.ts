import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { type Service, startService } from '../../helpers/service.ts'
import { putAdapter } from '../routes/adapters.ts'
import { RawConnection } from '../raw-answers.ts'
import { runsLong } from '../../skips.ts'

const LIVE = 'GET /livez HTTP/1.1\r\nHost: here\r\n\r\n'
const READY = 'GET /readyz HTTP/1.1\r\nHost: here\r\n\r\n'
const TABLES = 'GET /v1/tables HTTP/1.1\r\nHost: here\r\n\r\n'

const isLong = runsLong('clients that have gone, with Fastify alone')

describe.each([
  ['the fast path', true],
  ['Fastify alone', false],
])('A connection of %s', (_path, fastPath) => {
  let service: Service
  let port: number
  beforeAll(async () => {
    service = await startService({ fastPath, logLevel: 'silent', quotaBytes: 2 ** 31 })
    port = Number(new URL(await service.listen()).port)
  })
  afterAll(() => service.close())

  test.skipIf(!fastPath && !isLong)(
    'of a client that has gone ends long work, though it looks half-closed at first',
    async () => {
      const body = '{"rows":300000000,"dim":1,"initializer":{"kind":"normal"}}'
      const head = `PUT /v1/tables/long HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n`
      const before = service.writer.memory.reservedBytes
      const connection = new RawConnection(port)
      connection.socket.write(`${head}Content-Length: ${body.length}\r\n\r\n${body}`)
      await expect.poll(() => service.writer.memory.reservedBytes).toBeGreaterThan(before)
      connection.socket.destroy()
      await expect.poll(() => service.writer.memory.reservedBytes, { timeout: 25_000 }).toBe(before)
      expect(service.context.registry.get('long')).toBeUndefined()
    },
  )

  test('of a client that has gone ends a merge before it changes anything', async () => {
    const { app, context } = service
    const payload = { values: [[1], [2]] }
    await app.inject({ method: 'PUT', url: '/v1/tables/t', payload })
    const { version } = context.registry.find('t').current.handle
    await putAdapter(
      service,
      { a: { shape: [2, 1], values: [1, 1] }, b: { shape: [1, 1], values: [10] } },
      '?alpha=1',
    )
    const connection = new RawConnection(port)
    const { writer } = context
    const call = writer.call.bind(writer)
    const ends: string[] = []
    const spy = vi.spyOn(writer, 'call').mockImplementation(async (procedure, argument) => {
      if (procedure === 'beginBuild') {
        const gone = once(response ?? connection.socket, 'close')
        connection.socket.resetAndDestroy()
        await gone
      }
      if (/^(commit|abort)Build$/.test(procedure)) ends.push(procedure)
      return call(procedure, argument)
    })
    let response: ServerResponse | undefined
    app.server.prependOnceListener('request', (_request, itsResponse) => (response = itsResponse))
    connection.socket.write('POST /v1/tables/t/lora/merge HTTP/1.1\r\nHost: here\r\n\r\n')
    await expect.poll(() => ends).toEqual(['abortBuild'])
    spy.mockRestore()
    expect(context.registry.find('t').current.handle.version).toBe(version)
  })

  test('of a client that has gone begins no more of several lookups', async () => {
    const { app, context } = service
    await app.inject({ method: 'PUT', url: '/v1/tables/t', payload: { values: [[1], [2]] } })
    const body = JSON.stringify({ lookups: [1, 2, 3].map(() => ({ table: 't', indices: [0] })) })
    let response: ServerResponse | undefined
    app.server.prependOnceListener('request', (_request, itsResponse) => (response = itsResponse))
    const find = context.registry.find.bind(context.registry)
    const spy = vi.spyOn(context.registry, 'find').mockImplementation((name) => {
      response?.destroy()
      return find(name)
    })
    const connection = new RawConnection(port)
    const head = 'POST /v1/lookup HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n'
    connection.socket.write(`${head}Content-Length: ${body.length}\r\n\r\n${body}`)
    await connection.end()
    // By its answer, the lookups have ended too.
    expect((await app.inject({ method: 'GET', url: '/livez' })).statusCode).toBe(200)
    expect(spy).toHaveBeenCalledTimes(1)
    spy.mockRestore()
  })

  test('gets its refusal, however slowly it sends the rest of the body', async () => {
    const connection = new RawConnection(port)
    connection.socket.write(
      'POST /v1/none HTTP/1.0\r\nContent-Type: text/plain\r\nContent-Length: 400000\r\n\r\n',
    )
    for (let i = 0; i < 20; i++) {
      connection.socket.write(Buffer.alloc(20_000))
      await sleep(10)
    }
    expect((await connection.answer())?.status).toBe(404)
    await connection.end()
    expect(connection.wasReset).toBe(false)
    connection.socket.destroy()
  })

  test('is answered 503 and ended while the service stops, whether it is old or new', async () => {
    const old = new RawConnection(port)
    old.socket.write(LIVE)
    expect((await old.answer())?.status).toBe(200)
    const { health, connections } = service.context
    const kept = { ...health }
    Object.assign(health, { state: 'stopping', reason: 'the service is shutting down' })
    await connections.finish()
    const requests = [
      [old, TABLES],
      [new RawConnection(port), TABLES],
      [new RawConnection(port), READY],
    ] as const
    for (const [connection, request] of requests) {
      connection.socket.write(request)
      const answer = await connection.answer()
      expect([answer?.status, answer?.headers.connection]).toEqual([503, 'close'])
      expect(answer?.headers['retry-after']).toMatch(/^\d+$/)
      expect(answer?.body).toContain('SHUTTING_DOWN')
      await connection.end()
      connection.socket.destroy()
    }
    Object.assign(health, kept)
  })
})
