import { describe, expect, test } from 'vitest'
import { sendInPlace } from '../../src/lookup/buffers.ts'
import { Arena, ArenaShare } from '../../src/tables/arena.ts'

const ROWS_BYTES = 64 * 1024

const gathered = (arena: Arena, byteCount = ROWS_BYTES) => {
  const region = arena.reserve(512 + byteCount)
  arena.bytes.fill(7, region.at, region.at + region.bytes)
  return { region, rowsAt: region.at + 512, byteCount }
}
const head = (bodyBytes: number) => Buffer.from(`${bodyBytes}\r\n\r\n`)

describe('A long lookup answer', () => {
  test('is sent from the arena, with a head before its rows, and releases its region afterwards', () => {
    const arena = new Arena(1024 * 1024)
    const rows = gathered(arena)
    const answer = sendInPlace(new ArenaShare(arena, 128 * 1024), rows, head)
    expect(answer?.bytes.equals(Buffer.concat([head(ROWS_BYTES), Buffer.alloc(ROWS_BYTES, 7)]))).toBe(true)
    expect(answer?.bytes.buffer).toBe(arena.memory.buffer)
    expect(arena.reservedBytes).toBe(rows.region.bytes)
    answer?.release()
    expect(arena.reservedBytes).toBe(0)
  })

  test('is not sent in place while the share of such answers is used up', () => {
    const arena = new Arena(1024 * 1024)
    const share = new ArenaShare(arena, 128 * 1024)
    const first = sendInPlace(share, gathered(arena), head)
    const rows = gathered(arena)
    expect(sendInPlace(share, rows, head)).toBe(null)
    first?.release()
    sendInPlace(share, rows, head)?.release()
    expect(arena.reservedBytes).toBe(0)
  })

  test('is not sent in place when it is not long enough', () => {
    const arena = new Arena(1024 * 1024)
    expect(sendInPlace(new ArenaShare(arena, 128 * 1024), gathered(arena, ROWS_BYTES - 4), head)).toBe(null)
  })
})
