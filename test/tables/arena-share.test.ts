import { expect, test } from 'vitest'
import { Arena, ArenaShare } from '../../src/tables/arena.ts'

test('A share of an arena is exhausted before the arena, and can be used again after a release', () => {
  const arena = new Arena(1024 * 1024)
  const share = new ArenaShare(arena, 4_096)
  const first = share.reserve(3_000)
  expect(() => share.reserve(2_000)).toThrow(expect.objectContaining({ code: 'OVERLOADED' }))
  const second = share.reserve(1_000)
  expect(() => share.reserve(100)).toThrow(expect.objectContaining({ code: 'OVERLOADED' }))
  arena.release(arena.reserve(500_000))
  share.release(first)
  share.release(share.reserve(3_000))
  share.release(second)
  expect(arena.reservedBytes).toBe(0)
  share.release(share.reserve(4_096))
})

test('A share cannot exceed the free memory of the arena', () => {
  const arena = new Arena(128 * 1024)
  const others = arena.reserve(100 * 1024)
  const share = new ArenaShare(arena, 64 * 1024)
  expect(() => share.reserve(64 * 1024)).toThrow(expect.objectContaining({ code: 'OVERLOADED' }))
  arena.release(others)
  share.release(share.reserve(64 * 1024))
})

test('A region of the arena is moved to a share if it fits, and the share releases it', () => {
  const arena = new Arena(128 * 1024)
  const share = new ArenaShare(arena, 4_096)
  const [first, second] = [arena.reserve(3_000), arena.reserve(2_000)]
  expect(share.adopt(first)).toBe(true)
  expect(share.adopt(second)).toBe(false)
  expect(() => share.reserve(2_000)).toThrow(expect.objectContaining({ code: 'OVERLOADED' }))
  share.release(first)
  expect(share.adopt(second)).toBe(true)
  share.release(second)
  expect(arena.reservedBytes).toBe(0)
})
