import { connect, type Socket } from 'node:net'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { LIMITS } from '../../../src/core/limits.ts'
import { StallWatch } from '../../../src/http/body/stall-watch.ts'
import { type Service, startService } from '../../helpers/service.ts'

// The clock is faked once, before the first deadline is watched, because the watch keeps its timer.
beforeAll(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'setTimeout', 'clearTimeout', 'performance'] })
})
afterAll(() => {
  vi.useRealTimers()
})

const PACE = { silenceMs: 1_500, bytesPerSecondMin: 0 }

describe('a watched transfer', () => {
  test('that stands still is reported once, at most two seconds late', () => {
    let stalled = 0
    new StallWatch().watch(
      () => 7,
      PACE,
      () => stalled++,
    )
    vi.advanceTimersByTime(1_400)
    expect(stalled).toBe(0)
    vi.advanceTimersByTime(2_200)
    expect(stalled).toBe(1)
    vi.advanceTimersByTime(10_000)
    expect(stalled).toBe(1)
  })

  test('is not reported while it moves, however long it takes', () => {
    let bytes = 0
    let stalled = 0
    new StallWatch().watch(
      () => bytes,
      PACE,
      () => stalled++,
    )
    for (let i = 0; i < 100; i++) {
      bytes++
      vi.advanceTimersByTime(1_200)
    }
    expect(stalled).toBe(0)
    vi.advanceTimersByTime(4_000)
    expect(stalled).toBe(1)
  })

  test('is reported when it moves more slowly than its pace', () => {
    let bytes = 0
    let stalled = 0
    const pace = { silenceMs: 1_500, bytesPerSecondMin: 10 }
    new StallWatch().watch(
      () => bytes,
      pace,
      () => stalled++,
    )
    for (let i = 0; i < 10; i++) {
      bytes += 10
      vi.advanceTimersByTime(1_000)
    }
    expect(stalled).toBe(0)
    for (let i = 0; i < 10; i++) {
      bytes += 5
      vi.advanceTimersByTime(1_000)
    }
    expect(stalled).toBe(1)
  })

  test('is not reported after its watch has ended', () => {
    let stalled = 0
    new StallWatch().watch(
      () => 0,
      PACE,
      () => stalled++,
    )()
    vi.advanceTimersByTime(5_000)
    expect(stalled).toBe(0)
  })
})

describe('a body that is received as a whole', () => {
  let service: Service
  let port: number
  beforeAll(async () => {
    service = await startService()
    port = Number(new URL(await service.listen()).port)
  })
  afterAll(() => service.close())

  /** Sends a request whose body stops after `sent`, and waits until the server has read that. */
  const begin = async (announcedBytes: number, sent: string): Promise<Socket> => {
    const socket = connect(port, '127.0.0.1')
    const arrived = new Promise((resolve) => service.app.server.once('request', resolve))
    socket.write(
      'POST /v1/lookup HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n' +
        `Content-Length: ${announcedBytes}\r\n\r\n${sent}`,
    )
    await arrived
    // The body is read behind the head, in the same tick of the event loop.
    await new Promise(setImmediate)
    return socket
  }

  const answerOf = (socket: Socket): Promise<string> =>
    new Promise((resolve) => socket.once('data', (chunk) => resolve(chunk.toString())))

  test('is refused when nothing arrives for too long', async () => {
    const socket = await begin(100, '{')
    vi.advanceTimersByTime(LIMITS.uploadIdleMsMax - 2_000)
    const answer = answerOf(socket)
    const other = await begin(100, '{"a"')
    vi.advanceTimersByTime(4_000)
    expect(await answer).toMatch(/^HTTP\/1\.1 408 [^]*the body arrived too slowly: 1 bytes so far/)
    // The other request came later, so it may still go on.
    const answered = answerOf(other)
    other.write(' '.repeat(96))
    expect(await answered).toMatch(/^HTTP\/1\.1 400 [^]*MALFORMED_BODY/)
    socket.destroy()
    other.destroy()
  })

  test('is received at 10 KB/s, for as long as it takes', async () => {
    const socket = await begin(500_001, '{')
    const answered = answerOf(socket)
    for (let i = 0; i < 50; i++) {
      await new Promise<void>((resolve) => socket.write(' '.repeat(10_000), () => resolve()))
      await new Promise(setImmediate)
      vi.advanceTimersByTime(1_000)
    }
    expect(await answered).toMatch(/^HTTP\/1\.1 400 [^]*MALFORMED_BODY/)
    socket.destroy()
  })

  test('has its connection closed when the rest does not arrive after a refusal', async () => {
    const socket = await begin(5 * 1024 * 1024, '{')
    expect(await answerOf(socket)).toMatch(/^HTTP\/1\.1 413 /)
    const closed = new Promise((resolve) => socket.once('close', resolve))
    await new Promise(setImmediate)
    vi.advanceTimersByTime(LIMITS.uploadIdleMsMax - 1_000)
    expect(socket.closed).toBe(false)
    vi.advanceTimersByTime(3_000)
    await closed
  })
})
