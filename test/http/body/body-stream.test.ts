import { PassThrough } from 'node:stream'
import type { IncomingMessage } from 'node:http'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { LIMITS } from '../../../src/core/limits.ts'
import { readChunks } from '../../../src/http/body/body-stream.ts'

const BYTES_PER_SECOND_MIN = 4_096

const source = () => new PassThrough({ highWaterMark: 64 * 1024 })
const chunksOf = (stream: PassThrough) =>
  readChunks(stream as unknown as IncomingMessage, BYTES_PER_SECOND_MIN)
const collect = async (stream: PassThrough): Promise<Buffer> => {
  const chunks: Uint8Array[] = []
  for await (const chunk of chunksOf(stream)) chunks.push(chunk)
  return Buffer.concat(chunks)
}

describe('the chunks of a body', () => {
  test('arrive complete and in order', async () => {
    const stream = source()
    const done = collect(stream)
    const sent = Buffer.from(Array.from({ length: 300_000 }, (_, i) => i % 251))
    for (let at = 0; at < sent.length; at += 7_001)
      if (!stream.write(sent.subarray(at, at + 7_001)))
        await new Promise((resolve) => stream.once('drain', resolve))
    stream.end()
    expect((await done).equals(sent)).toBe(true)
  })

  test('of an empty body are none', async () => {
    const stream = source()
    stream.end()
    expect(await collect(stream)).toHaveLength(0)
  })

  test('are not read ahead of their consumer beyond a margin', async () => {
    const stream = source()
    const chunks = chunksOf(stream)
    stream.write(Buffer.alloc(10))
    await chunks.next()
    let accepted = 0
    while (stream.write(Buffer.alloc(64 * 1024)) && accepted < 1000) {
      accepted++
      await new Promise(setImmediate)
    }
    expect(accepted).toBeLessThan(40)
    await chunks.return(undefined)
  })

  test('stay in the stream, which remains open, when the consumer stops', async () => {
    const stream = source()
    const chunks = chunksOf(stream)
    stream.write(Buffer.alloc(10))
    await chunks.next()
    await chunks.return(undefined)
    expect(stream.destroyed).toBe(false)
    stream.resume()
    stream.end()
    await new Promise((resolve) => stream.once('end', resolve))
  })

  test('end with a refusal when the sender aborts, and later errors do not crash the process', async () => {
    const stream = source()
    const chunks = chunksOf(stream)
    stream.write(Buffer.alloc(10))
    await chunks.next()
    stream.destroy(new Error('aborted'))
    await expect(chunks.next()).rejects.toMatchObject({
      code: 'MALFORMED_BODY',
      cause: { message: 'aborted' },
    })
    stream.emit('error', new Error('once more'))
  })

  test('end with a refusal when the connection was closed before they were read', async () => {
    const stream = source()
    stream.destroy()
    await new Promise((resolve) => stream.once('close', resolve))
    await expect(chunksOf(stream).next()).rejects.toMatchObject({ code: 'MALFORMED_BODY' })
  })

  test('end with a refusal when the connection closes without an error', async () => {
    const stream = source()
    const chunks = chunksOf(stream)
    stream.destroy()
    await expect(chunks.next()).rejects.toMatchObject({ code: 'MALFORMED_BODY' })
  })
})

describe('a body that arrives slowly', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  test('is refused when nothing arrives', async () => {
    const next = chunksOf(source()).next()
    next.catch(() => null)
    await vi.advanceTimersByTimeAsync(LIMITS.uploadIdleMsMax)
    await expect(next).rejects.toMatchObject({ status: 408, code: 'INVALID_REQUEST' })
  })

  test('is refused when it arrives byte by byte', async () => {
    const stream = source()
    const chunks = chunksOf(stream)
    const trickle = async () => {
      for (let i = 0; i < 100; i++) {
        const next = chunks.next()
        next.catch(() => null)
        await vi.advanceTimersByTimeAsync(1_000)
        stream.write(Buffer.alloc(1))
        await next
      }
    }
    await expect(trickle()).rejects.toMatchObject({ status: 408 })
  })

  test('is accepted at the minimal rate', async () => {
    const stream = source()
    const chunks = chunksOf(stream)
    for (let i = 0; i < 100; i++) {
      const next = chunks.next()
      await vi.advanceTimersByTimeAsync(1_000)
      stream.write(Buffer.alloc(512 * 1024))
      await next
    }
    await chunks.return(undefined)
  })

  test('is not refused for the time that the consumer takes', async () => {
    const stream = source()
    const chunks = chunksOf(stream)
    for (let i = 0; i < 10; i++) {
      stream.write(Buffer.alloc(1))
      await chunks.next()
      await vi.advanceTimersByTimeAsync(20_000)
    }
    await chunks.return(undefined)
  })
})
