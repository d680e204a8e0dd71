import { describe, expect, test } from 'vitest'
import { writeMembers } from '../../src/lookup/pooling.ts'

const write = (offsets: number[], rows: number[], paddingRow: number, weights: number[] | null = null) => {
  const bags = {
    operation: 'sum' as const,
    bagCount: offsets.length - 1,
    offsets: Int32Array.from(offsets),
    weights: weights && Float32Array.from(weights),
  }
  const members = {
    ids: Int32Array.from(rows),
    offsets: new Int32Array(offsets.length),
    weights: weights && new Float32Array(weights.length),
  }
  writeMembers(bags, paddingRow, members)
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
})
