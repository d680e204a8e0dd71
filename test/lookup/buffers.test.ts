import { describe, expect, test } from 'vitest'
import { ResponseBuffers } from '../../src/lookup/buffers.ts'

const KiB = 1024

describe('The buffers of answers', () => {
  test('have the requested length, and are reused after their release', () => {
    const buffers = new ResponseBuffers(1024 * KiB)
    const first = buffers.acquire(100 * KiB)
    expect(first.bytes.length).toBe(100 * KiB)
    const second = buffers.acquire(100 * KiB)
    expect(second.bytes.buffer).not.toBe(first.bytes.buffer)
    first.release()
    expect(buffers.idleBytes).toBe(128 * KiB)
    expect(buffers.acquire(120 * KiB).bytes.buffer).toBe(first.bytes.buffer)
    expect(buffers.idleBytes).toBe(0)
  })

  test('ignore a second release, which would give one buffer to two answers', () => {
    const buffers = new ResponseBuffers(1024 * KiB)
    const answer = buffers.acquire(64 * KiB)
    answer.release()
    answer.release()
    const one = buffers.acquire(64 * KiB)
    const other = buffers.acquire(64 * KiB)
    expect(one.bytes.buffer).not.toBe(other.bytes.buffer)
  })

  test('are not cached beyond the bound or when they are small', () => {
    const buffers = new ResponseBuffers(100 * KiB)
    buffers.acquire(128 * KiB).release()
    expect(buffers.idleBytes).toBe(0)
    const two = [buffers.acquire(64 * KiB), buffers.acquire(64 * KiB)]
    for (const { release } of two) release()
    expect(buffers.idleBytes).toBe(64 * KiB)
    buffers.acquire(100).release()
    expect(buffers.idleBytes).toBe(64 * KiB)
  })
})
