import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ELEMENT_BYTES, type ElementType } from '../../src/core/types.ts'
import { arrangeRows, needsMoving } from '../../src/formats/arrange-rows.ts'

/** The place in column order of the element at `position` in row order. */
const columnPlace = (position: number, shape: readonly number[]): number => {
  let rest = position
  const index = shape.map((_, axis) => {
    const below = shape.slice(axis + 1).reduce((product, dimension) => product * dimension, 1)
    const at = Math.floor(rest / below)
    rest %= below
    return at
  })
  return index.reduceRight((place, at, axis) => place * shape[axis] + at, 0)
}

test('Arrays of any shape and element type are arranged row by row and little-endian', () => {
  const types = Object.keys(ELEMENT_BYTES) as ElementType[]
  const shapes = fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 5 })
  fc.assert(
    fc.property(
      fc.constantFrom(...types),
      shapes,
      fc.boolean(),
      fc.boolean(),
      (type, shape, isColumnOrder, isBigEndian) => {
        const bytes = ELEMENT_BYTES[type]
        const count = shape.reduce((product, dimension) => product * dimension, 1)
        const data = Uint8Array.from({ length: count * bytes }, (_, i) => (i * 7) % 251)
        const expected = Array.from({ length: count }, (_, position) => {
          const at = (isColumnOrder ? columnPlace(position, shape) : position) * bytes
          const element = [...data.subarray(at, at + bytes)]
          return isBigEndian ? element.toReversed() : element
        }).flat()
        expect([...arrangeRows(data, type, shape, { isColumnOrder, isBigEndian })]).toEqual(expected)
      },
    ),
  )
})

test('Nothing is copied when nothing has to move', () => {
  const data = new Uint8Array(12)
  expect(arrangeRows(data, 'float32', [3], {})).toBe(data)
  expect(arrangeRows(data, 'uint8', [12], { isBigEndian: true })).toBe(data)
  for (const shape of [[], [5], [1, 5], [5, 1], [1, 5, 1], [0, 5], [5, 0, 2]])
    expect(needsMoving(shape)).toBe(false)
  for (const shape of [
    [2, 2],
    [2, 1, 3],
  ])
    expect(needsMoving(shape)).toBe(true)
})
