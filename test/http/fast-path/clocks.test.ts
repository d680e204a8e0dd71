import { setImmediate as turn } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { LIMITS } from '../../../src/core/limits.ts'
import {
  answersOf,
  type FastPathService,
  request,
  rowsOf,
  settle,
  startFastPath,
} from './fast-path-service.ts'

let service: FastPathService
const KEEP_ALIVE_MS = 75_000

describe('The timeouts of the fast path', () => {
  beforeAll(async () => {
    vi.useFakeTimers({
      toFake: ['setInterval', 'clearInterval', 'setTimeout', 'clearTimeout', 'performance'],
    })
    service = await startFastPath()
  })
  afterAll(async () => {
    vi.useRealTimers()
    await service.close()
  })
  let before: number
  beforeEach(() => {
    before = service.byFastify()
  })

  test('end a connection without a request as Fastify does', async () => {
    const socket = service.open()
    vi.advanceTimersByTime(LIMITS.headersTimeoutMs - 500)
    await settle()
    expect(socket.isClosed).toBe(false)
    vi.advanceTimersByTime(1_000)
    await settle()
    expect(answersOf(socket.sent)).toMatchObject([{ status: 408 }])
    expect(socket.isClosed).toBe(true)
  })

  test('end a connection that is idle after an answer', async () => {
    const socket = service.open()
    socket.push(request([1]))
    await settle()
    vi.advanceTimersByTime(KEEP_ALIVE_MS)
    await settle()
    expect(socket.isClosed).toBe(false)
    socket.push(request([2]))
    await settle()
    vi.advanceTimersByTime(KEEP_ALIVE_MS)
    await settle()
    expect(socket.isClosed).toBe(false)
    vi.advanceTimersByTime(1_500)
    await settle()
    expect(socket.isClosed).toBe(true)
    expect(answersOf(socket.sent)).toHaveLength(2)
  })

  test('hand a request whose body does not arrive over to Fastify', async () => {
    const socket = service.open()
    const bytes = request([1, 2])
    socket.push(bytes.subarray(0, -4))
    await settle()
    expect(service.byFastify() - before).toBe(0)
    vi.advanceTimersByTime(1_000)
    await settle()
    expect(service.byFastify() - before).toBe(1)
    socket.push(bytes.subarray(-4))
    await settle()
    expect(answersOf(socket.sent)).toMatchObject([{ status: 200, rows: rowsOf([1, 2]) }])
  })

  test('hand a request whose body arrives byte by byte over to Fastify', async () => {
    const socket = service.open()
    const bytes = request(Array.from({ length: 50 }, (_, i) => i))
    const headBytes = bytes.length - 200
    socket.push(bytes.subarray(0, headBytes))
    for (let at = headBytes; at < bytes.length; at++) {
      socket.push(bytes.subarray(at, at + 1))
      await turn()
    }
    await settle()
    expect(service.byFastify() - before).toBe(1)
    expect(answersOf(socket.sent)).toMatchObject([{ status: 200 }])
  })
})
