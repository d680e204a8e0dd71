import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { putTable } from '../../helpers/writer.ts'
import { startService } from '../../helpers/service.ts'
import { encodeTensors } from '../routes/adapters.ts'
import { MemorySocket } from './socket.ts'
import {
  answersOf,
  DIM,
  type FastPathAnswer,
  type FastPathService,
  request,
  ROWS,
  rowsOf,
  settle,
  startFastPath,
} from './fast-path-service.ts'

let service: FastPathService

describe('An answer of the fast path', () => {
  beforeAll(async () => {
    service = await startFastPath()
  })
  afterAll(() => service.close())
  let before: number
  beforeEach(() => {
    before = service.byFastify()
  })

  const askOnce = async (socket: MemorySocket, bytes: Buffer): Promise<FastPathAnswer> => {
    const before = answersOf(socket.sent).length
    socket.push(bytes)
    await settle()
    return answersOf(socket.sent)[before]
  }

  test('reflects updates, replacements, new settings and the deletion of its table', async () => {
    const { writer } = service.context
    await putTable(writer, { name: 'moving', rows: 2, dim: 1, values: [1, 2] })
    const socket = service.open()
    const bytes = request([1], { table: 'moving' })
    expect(await askOnce(socket, bytes)).toMatchObject({
      rows: [2],
      head: expect.stringContaining('etag: "1-0"'),
    })
    const update = await service.app.inject({
      method: 'POST',
      url: '/v1/tables/moving/rows',
      payload: { op: 'set', indices: [1], values: [[5]] },
    })
    expect(update.statusCode).toBe(200)
    expect(await askOnce(socket, bytes)).toMatchObject({
      rows: [5],
      head: expect.stringContaining('etag: "1-1"'),
    })
    await putTable(writer, { name: 'moving', rows: 2, dim: 2, values: [1, 2, 3, 4] })
    expect(await askOnce(socket, bytes)).toMatchObject({
      rows: [3, 4],
      head: expect.stringContaining('etag: "2-0"'),
    })
    expect(service.byFastify() - before).toBe(0)
    const far = request([2], { table: 'moving' })
    await service.app.inject({ method: 'PATCH', url: '/v1/tables/moving', payload: { out_of_range: 'clip' } })
    expect(await askOnce(socket, far)).toMatchObject({ status: 200, rows: [3, 4] })
    await service.app.inject({ method: 'DELETE', url: '/v1/tables/moving' })
    expect(await askOnce(socket, far)).toMatchObject({ status: 404 })
  })

  test('has the current time in its Date', async () => {
    vi.useFakeTimers({ toFake: ['Date'], now: Date.UTC(2026, 0, 1, 12, 0, 0, 900) })
    try {
      const socket = service.open()
      expect((await askOnce(socket, request([1]))).head).toContain(
        '\r\nDate: Thu, 01 Jan 2026 12:00:00 GMT\r\n',
      )
      vi.setSystemTime(Date.UTC(2026, 0, 1, 12, 0, 1, 0))
      expect((await askOnce(socket, request([1]))).head).toContain(
        '\r\nDate: Thu, 01 Jan 2026 12:00:01 GMT\r\n',
      )
    } finally {
      vi.useRealTimers()
    }
  })

  test('has memory that is reused when the client has read it', async () => {
    const { buffers } = service.context.lookups
    const ids = Array.from({ length: 4_000 }, (_, i) => i % ROWS)
    const socket = service.open()
    expect(await askOnce(socket, request(ids))).toMatchObject({ rows: rowsOf(ids) })
    const idleBytes = buffers.idleBytes
    expect(idleBytes).toBeGreaterThan(ids.length * DIM * 4)
    socket.stall()
    socket.push(request(ids))
    await settle()
    expect(buffers.idleBytes).toBeLessThan(idleBytes)
    socket.takeAll()
    await settle()
    expect(buffers.idleBytes).toBe(idleBytes)
    expect(service.byFastify() - before).toBe(0)
  })

  test('comes from Fastify when it is large or when its rows are computed', async () => {
    const { writer } = service.context
    await putTable(writer, { name: 'wide', rows: 2, dim: 1_024 })
    const few = Array.from({ length: 256 }, () => 1)
    expect(await askOnce(service.open(), request(few, { table: 'wide' }))).toMatchObject({ status: 200 })
    expect(service.byFastify() - before).toBe(0)
    expect(await askOnce(service.open(), request([...few, 1], { table: 'wide' }))).toMatchObject({
      status: 200,
    })
    expect(service.byFastify() - before).toBe(1)
    await putTable(writer, { name: 'adapted', rows: 2, dim: 2, values: [1, 2, 3, 4] })
    const put = await service.app.inject({
      method: 'PUT',
      url: '/v1/tables/adapted/lora?alpha=1',
      payload: encodeTensors({
        a: { shape: [2, 1], values: [1, 0] },
        b: { shape: [1, 2], values: [10, 20] },
      }),
      headers: { 'content-type': 'application/x-safetensors' },
    })
    expect(put.statusCode).toBeLessThan(300)
    expect(await askOnce(service.open(), request([0, 1], { table: 'adapted' }))).toMatchObject({
      status: 200,
      rows: [11, 22, 3, 4],
    })
    expect(service.byFastify() - before).toBe(2)
  })

  test('comes from Fastify while the service drains or logs requests', async () => {
    const { health } = service.context
    const socket = service.open()
    Object.assign(health, { state: 'draining', reason: 'the service is shutting down' })
    try {
      const answer = await askOnce(socket, request([1]))
      expect(answer).toMatchObject({
        status: 200,
        rows: rowsOf([1]),
        head: expect.stringMatching(/\r\nconnection: close\r\n/i),
      })
      expect(service.byFastify() - before).toBe(1)
      expect(socket.isClosed).toBe(true)
    } finally {
      Object.assign(health, { state: 'ready', reason: 'ready' })
    }
    const logging = await startService({ fastPath: true })
    const late = new MemorySocket(logging.app)
    late.push(request([1], { table: 'gone' }))
    await settle()
    expect(logging.log.some(({ msg }) => msg === 'answered')).toBe(true)
    late.destroy()
    await logging.close()
  })
})
