import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Arena, type Region } from '../../src/tables/arena.ts'

test('Regions are disjoint, aligned and inside the arena, and all memory can be released', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), fc.nat({ max: 20_000 })), { maxLength: 60 }), (steps) => {
      const arena = new Arena(128 * 1024)
      const held: Region[] = []
      for (const [give, size] of steps) {
        if (give && held.length > 0) arena.release(held.splice(size % held.length, 1)[0])
        else {
          try {
            held.push(arena.reserve(size))
          } catch (error) {
            expect(error).toMatchObject({ code: 'OVERLOADED' })
          }
        }
        const sorted = held.toSorted((a, b) => a.at - b.at)
        sorted.forEach((region, i) => {
          expect(region.at % 64).toBe(0)
          expect(region.at + region.bytes).toBeLessThanOrEqual(
            i + 1 < sorted.length ? sorted[i + 1].at : arena.bytesMax,
          )
        })
      }
      for (const region of held) arena.release(region)
      expect(arena.reservedBytes).toBe(0)
    }),
    { numRuns: 200 },
  )
})

test('The arena asserts that a region is released once', () => {
  const arena = new Arena(65_536)
  const region = arena.reserve(10)
  arena.release(region)
  expect(() => arena.release(region)).toThrowError(/once/)
})

test('A thread with one request at a time gets the same region again', () => {
  const arena = new Arena(65_536)
  const first = arena.reserve(1000)
  arena.release(first)
  expect(arena.reserve(5000).at).toBe(first.at)
})
