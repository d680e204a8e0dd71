import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Mode } from '../../src/core/types.ts'
import { pointerTo } from '../../src/core/pointers.ts'
import type { IndexArray } from '../../src/core/types.ts'
import { resolveRows } from '../../src/tables/resolve.ts'
import { runsOf } from '../helpers/property-runs.ts'

const resolve = (indices: IndexArray, rows: number, mode: Mode): number[] => {
  const target = new Int32Array(indices.length)
  resolveRows(indices, [indices.length], target, rows, mode)
  return Array.from(target)
}

/**
 * The rule of each mode over exact integers, as the libraries state it; -1 is a fill row, and null is no row.
 */
const expectRow = (index: bigint, rows: bigint, mode: Mode): number | null => {
  const inside = index >= 0n && index < rows
  const fromEnd = index < 0n && index >= -rows
  if (inside) return Number(index)
  if (mode === 'fill') return fromEnd ? Number(index + rows) : -1
  if (mode === 'error' || rows === 0n) return null
  if (mode === 'clip') return Number(index < 0n ? 0n : rows - 1n)
  if (mode === 'wrap') return Number(((index % rows) + rows) % rows)
  return Number(fromEnd ? index + rows : index < 0n ? 0n : rows - 1n)
}

const MODES: Mode[] = ['error', 'fill', 'clip', 'wrap', 'clamp']

describe('Ids outside the table', () => {
  test('refer to the same rows as in the reference libraries', () => {
    expect(resolve(Int32Array.of(3, -1, -4), 3, 'fill')).toEqual([-1, 2, -1])
    expect(resolve(Int32Array.of(-1, 7), 3, 'clip')).toEqual([0, 2])
    expect(resolve(Int32Array.of(4, -4), 3, 'wrap')).toEqual([1, 2])
    expect(resolve(Int32Array.of(3, -4, -1), 3, 'clamp')).toEqual([2, 0, 2])
  })

  test('follow the exact rule in every mode and width, beyond 2^53 too', () => {
    const near = fc.bigInt({ min: -40n, max: 40n })
    const wide = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
    fc.assert(
      fc.property(
        fc.oneof(near, wide),
        fc.integer({ min: 0, max: 20 }),
        fc.constantFrom(...MODES),
        (index, rows, mode) => {
          const want = expectRow(index, BigInt(rows), mode)
          const arrays: IndexArray[] = [BigInt64Array.of(index)]
          if (index >= 0n) arrays.push(BigUint64Array.of(index))
          if (index >= -128n && index < 128n)
            arrays.push(
              Int8Array.of(Number(index)),
              Int32Array.of(Number(index)),
              Float64Array.of(Number(index)),
            )
          for (const array of arrays) {
            if (want === null)
              expect(() => resolve(array, rows, mode)).toThrowError(
                expect.objectContaining({ code: 'INDEX_OUT_OF_RANGE' }),
              )
            else expect(resolve(array, rows, mode)).toEqual([want])
          }
        },
      ),
      { numRuns: runsOf({ quick: 1_000, long: 5_000 }) },
    )
  })

  test('are exact for the largest unsigned id', () => {
    expect(resolve(BigUint64Array.of(2n ** 64n - 1n), 7, 'wrap')).toEqual([Number((2n ** 64n - 1n) % 7n)])
    expect(resolve(BigInt64Array.of(2n ** 53n + 1n), 2 ** 31 - 2, 'wrap')).toEqual([
      Number((2n ** 53n + 1n) % BigInt(2 ** 31 - 2)),
    ])
  })

  test('are refused with their positions, ten at most', () => {
    const indices = Int32Array.from({ length: 24 }, (_, i) => (i % 2 === 0 ? 0 : 100 + i))
    try {
      resolveRows(indices, [2, 3, 4], new Int32Array(24), 5, 'error')
      expect.unreachable()
    } catch (error) {
      const { code, errors, message } = error as {
        code: string
        errors: { pointer: string; detail: string }[]
        message: string
      }
      expect(code).toBe('INDEX_OUT_OF_RANGE')
      expect(errors).toHaveLength(10)
      expect(errors[0]).toEqual({ pointer: '/indices/0/0/1', detail: '101 is outside 0..4' })
      expect(errors[9].pointer).toBe('/indices/1/1/3')
      expect(message).toContain('12 of 24')
    }
  })
})

test('A flat position is converted to a path', () => {
  expect(pointerTo(0, [])).toBe('')
  expect(pointerTo(5, [7])).toBe('/5')
  expect(pointerTo(11, [2, 2, 3])).toBe('/1/1/2')
})
