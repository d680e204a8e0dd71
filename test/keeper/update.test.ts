import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { addValues, coalesceRows, setValues, sumValues } from '../../src/keeper/update.ts'

const floats = (...values: number[]) => Float32Array.from(values)

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

  test('are summed in float32 in request order, so a large first number swallows small ones', () => {
    const touched = coalesceRows(Int32Array.of(0, 0, 0))
    const target = new Float32Array(1)
    sumValues(touched, floats(2 ** 24, 1, 1), 1, target)
    expect(target[0]).toBe(2 ** 24)
    sumValues(touched, floats(1, 1, 2 ** 24), 1, target)
    expect(target[0]).toBe(2 ** 24 + 2)
  })

  test('all add, in order, to what the row was; with set the last one wins', () => {
    const touched = coalesceRows(Int32Array.of(5, 6, 5))
    const target = floats(2 ** 24, 10)
    addValues(touched, floats(1, 1, 1), 1, target)
    expect(Array.from(target)).toEqual([2 ** 24, 11])
    setValues(touched, floats(1, 2, 3), 1, target)
    expect(Array.from(target)).toEqual([3, 2])
  })
})
