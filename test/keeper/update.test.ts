import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { coalesceRows } from '../../src/keeper/update.ts'

describe('Equal rows of an update', () => {
  test('become one, in the order in which they first appear', () => {
    const touched = coalesceRows(Int32Array.of(7, 3, 7, 0, 3))
    expect(Array.from(touched.rows)).toEqual([7, 3, 0])
    expect(Array.from(touched.slots)).toEqual([0, 1, 0, 2, 1])
  })

  test('leave the skipped row out', () => {
    const touched = coalesceRows(Int32Array.of(7, 3, 7), 7)
    expect(Array.from(touched.rows)).toEqual([3])
    expect(Array.from(touched.slots)).toEqual([-1, 0, -1])
  })

  test('are found as a Map finds them, whatever the rows', () => {
    const rows = fc.oneof(fc.nat({ max: 20 }), fc.integer({ min: 0, max: 2 ** 31 - 3 }))
    fc.assert(
      fc.property(fc.array(rows, { maxLength: 300 }), (indices) => {
        const { rows, slots } = coalesceRows(Int32Array.from(indices))
        expect(Array.from(rows)).toEqual([...new Set(indices)])
        expect(Array.from(slots, (slot) => rows[slot])).toEqual(indices)
      }),
    )
  })
})
