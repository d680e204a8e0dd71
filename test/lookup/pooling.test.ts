import { describe, expect, test } from 'vitest'
import type { BagOperation } from '../../src/kernels/bag.ts'
import { writeMembers } from '../../src/lookup/pooling.ts'

const write = (
  offsets: number[],
  rows: number[],
  paddingRow: number,
  weights: number[] | null = null,
  { operation = 'sum' as BagOperation, fillIsNaN = false } = {},
) => {
  const bags = {
    operation,
    bagCount: offsets.length - 1,
    offsets: Int32Array.from(offsets),
    weights: weights && Float32Array.from(weights),
  }
  const members = {
    ids: Int32Array.from(rows),
    offsets: new Int32Array(offsets.length),
    weights: weights && new Float32Array(weights.length),
  }
  writeMembers(bags, paddingRow, members, fillIsNaN)
  const count = members.offsets[offsets.length - 1]
  return {
    offsets: Array.from(members.offsets),
    rows: Array.from(members.ids.subarray(0, count)),
    weights: members.weights && Array.from(members.weights.subarray(0, count)),
  }
}

describe('The members of bags', () => {
  test('are complete without a padding row', () => {
    expect(write([0, 2, 3], [4, -1, 4], -1, [1, 2, 3])).toEqual({
      offsets: [0, 2, 3],
      rows: [4, -1, 4],
      weights: [1, 2, 3],
    })
  })

  test('lack the padding row and its weights', () => {
    expect(write([0, 3, 3, 5], [7, 4, 7, 7, 5], 7, [1, 2, 3, 4, 5])).toEqual({
      offsets: [0, 1, 1, 2],
      rows: [4, 5],
      weights: [2, 5],
    })
    expect(write([0, 2, 4], [0, 1, 0, 0], 0)).toEqual({ offsets: [0, 1, 1], rows: [1], weights: null })
  })

  test('include fill rows for any padding row', () => {
    expect(write([0, 2], [-1, 3], 3)).toEqual({ offsets: [0, 1], rows: [-1], weights: null })
  })

  test('begin with a missing one where a maximum is NaN because of it, wherever it stands', () => {
    const rowsOf = (operation: BagOperation, fillIsNaN: boolean) =>
      write([0, 3, 5, 5, 6], [4, 5, -1, 6, 7, -1], 5, null, { operation, fillIsNaN }).rows
    expect(rowsOf('max', true)).toEqual([-1, -1, 6, 7, -1])
    expect(rowsOf('max', false)).toEqual([4, -1, 6, 7, -1])
    expect(rowsOf('sum', true)).toEqual([4, -1, 6, 7, -1])
  })

  test.each(['mean', 'sqrtn'] as const)(
    'of %s have weights whose squares float32 holds, in the same proportion',
    (operation) => {
      const scaled = (...weights: number[]) =>
        write([0, weights.length], [1, 2, 3].slice(0, weights.length), -1, weights, { operation }).weights
      expect(scaled(2 ** 100, -(2 ** 99), 0)).toEqual([2 ** 32, -(2 ** 31), 0])
      expect(scaled(2 ** -149, 3 * 2 ** -149)).toEqual([0.5, 1.5])
      expect(scaled(0, 0)).toEqual([0, 0])
      for (const kept of [
        [2 ** 48, 2 ** -140],
        [2 ** -16, 2 ** -140],
      ])
        expect(scaled(...kept)).toEqual(kept)
    },
  )

  test('of sum keep their weights', () => {
    expect(write([0, 2], [1, 2], -1, [2 ** 100, 2 ** -100]).weights).toEqual([2 ** 100, 2 ** -100])
  })
})
