import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Service, startService } from '../../helpers/service.ts'
import { RawConnection } from '../raw-answers.ts'

const LIVE = 'GET /livez HTTP/1.1\r\nHost: here\r\n\r\n'
const READY = 'GET /readyz HTTP/1.1\r\nHost: here\r\n\r\n'
const TABLES = 'GET /v1/tables HTTP/1.1\r\nHost: here\r\n\r\n'

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

  test('of a client that has gone ends long work, though it looks half-closed at first', async () => {
    const body = '{"rows":300000000,"dim":1,"initializer":{"kind":"normal"}}'
    const head = `PUT /v1/tables/long HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n`
    const before = service.writer.memory.reservedBytes
    const connection = new RawConnection(port)
    connection.socket.write(`${head}Content-Length: ${body.length}\r\n\r\n${body}`)
    await expect.poll(() => service.writer.memory.reservedBytes).toBeGreaterThan(before)
    connection.socket.destroy()
    await expect.poll(() => service.writer.memory.reservedBytes, { timeout: 25_000 }).toBe(before)
    expect(service.context.registry.get('long')).toBeUndefined()
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
