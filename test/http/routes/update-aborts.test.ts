import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Service, startService } from '../../helpers/service.ts'

let service: Service
let port: number
beforeEach(async () => {
  service = await startService()
  port = Number(new URL(await service.listen()).port)
  const values = Array.from({ length: 64 }, () => [0, 0])
  await service.app.inject({ method: 'PUT', url: '/v1/tables/user', payload: { values, durability: 'none' } })
})
afterEach(() => service.close())

const send = (body: string, path = '/v1/tables/user/rows') =>
  new Promise<void>((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' })
    socket.on('error', () => {})
    socket.write(
      `POST ${path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n` +
        `content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
      () => {
        socket.destroy()
        resolve()
      },
    )
  })

test('The memory of an update body is released when its client disconnects before the answer', async () => {
  const { arena } = service.context.lookups
  const before = arena.reservedBytes
  const body = JSON.stringify({ op: 'add', indices: [1], values: [[1, 1]] })
  for (let i = 0; i < 200; i++) await send(body)
  for (let i = 0; i < 50; i++) await send(body, '/v1/tables/none/rows')
  await sleep(300)
  await expect.poll(() => arena.reservedBytes).toBe(before)
})

test('The memory of an update body stays reserved while the writer reads it after a disconnect', async () => {
  const { writer, lookups } = service.context
  const before = lookups.arena.reservedBytes
  const begun = Promise.withResolvers<void>()
  const mayGoOn = Promise.withResolvers<void>()
  const call = writer.call.bind(writer)
  writer.call = (async (procedure: 'update', argument: Parameters<typeof call>[1]) => {
    begun.resolve()
    await mayGoOn.promise
    return call(procedure, argument as never)
  }) as typeof writer.call
  const closed = new Promise((resolve) =>
    service.app.server.once('connection', (socket) => socket.once('close', resolve)),
  )
  const body = JSON.stringify({ op: 'add', indices: [1], values: [[1, 1]] })
  await send(body)
  await begun.promise
  await closed
  await sleep(50)
  // The body, the row numbers and the values take whole cache lines of 64 bytes each.
  expect(lookups.arena.reservedBytes).toBe(before + Math.ceil(body.length / 64) * 64 + 64 + 64)
  mayGoOn.resolve()
  await expect.poll(() => lookups.arena.reservedBytes).toBe(before)
})
