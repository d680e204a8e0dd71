import { connect } from 'node:net'
import { describe, expect, test } from 'vitest'
import { answersOf, request, ROWS, rowsOf, startFastPath } from './fast-path-service.ts'

describe('A server with a fast path', () => {
  /** Opens a real connection. */
  const dial = (port: number) => {
    const client = connect(port, '127.0.0.1')
    const received: Buffer[] = []
    let wake = () => {}
    client.on('data', (chunk: Buffer) => {
      received.push(chunk)
      wake()
    })
    const closed = new Promise<void>((resolve) => client.once('close', () => resolve()))
    const until = async (count: number) => {
      while (answersOf(Buffer.concat(received)).length < count)
        await new Promise<void>((resolve) => (wake = resolve))
      return answersOf(Buffer.concat(received))
    }
    return { client, closed, until }
  }

  test('closes idle connections of the fast path and of Fastify, and answers pending requests', async () => {
    const service = await startFastPath()
    const port = Number(new URL(await service.listen()).port)
    const [idle, silent, other, busy] = [dial(port), dial(port), dial(port), dial(port)]
    idle.client.write(request([1]))
    expect(await idle.until(1)).toMatchObject([{ status: 200, rows: rowsOf([1]) }])
    other.client.write(request([ROWS]))
    expect(await other.until(1)).toMatchObject([{ status: 422 }])
    expect(service.byFastify()).toBe(1)
    const bytes = request([2, 3])
    busy.client.write(bytes.subarray(0, -2))
    // An answer to a later request shows that the first part of `bytes` has been read.
    for (const count of [2, 3]) {
      other.client.write(request([ROWS]))
      await other.until(count)
    }
    const closing = service.close()
    await Promise.all([idle.closed, silent.closed, other.closed])
    busy.client.write(bytes.subarray(-2))
    const [answer] = await busy.until(1)
    expect(answer).toMatchObject({
      status: 200,
      rows: rowsOf([2, 3]),
      head: expect.stringMatching(/\r\nconnection: close\r\n/i),
    })
    await busy.closed
    await closing
  })

  test('ends the connection after a body that arrives while the service begins to shut down', async () => {
    const service = await startFastPath()
    const port = Number(new URL(await service.listen()).port)
    const client = dial(port)
    const before = request([1])
    const bytes = request([2, 3])
    // The answer to the first request shows that the first part of the second has been read.
    client.client.write(Buffer.concat([before, bytes.subarray(0, -2)]))
    expect(await client.until(1)).toMatchObject([{ status: 200, rows: rowsOf([1]) }])
    expect(service.byFastify()).toBe(0)
    Object.assign(service.context.health, { state: 'draining', reason: 'the service is shutting down' })
    client.client.write(bytes.subarray(-2))
    const [, answer] = await client.until(2)
    expect(answer).toMatchObject({
      status: 200,
      rows: rowsOf([2, 3]),
      head: expect.stringMatching(/\r\nconnection: close\r\n/i),
    })
    await client.closed
    await service.close()
  })

  test('limits the connections of the fast path and of Fastify together', async () => {
    const service = await startFastPath()
    service.app.server.maxConnections = 2
    const port = Number(new URL(await service.listen()).port)
    const first = dial(port)
    first.client.write(request([1]))
    await first.until(1)
    const second = dial(port)
    second.client.write(request([ROWS]))
    await second.until(1)
    const third = dial(port)
    third.client.on('error', () => {})
    await third.closed
    first.client.write(request([2]))
    expect(await first.until(2)).toMatchObject([{ rows: rowsOf([1]) }, { rows: rowsOf([2]) }])
    await service.close()
  })
})
