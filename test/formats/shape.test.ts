import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  arrayBytes,
  checkRank,
  elementCount,
  formatShape,
  isCountable,
  viewBytes,
} from '../../src/formats/shape.ts'
import { codeOf, misalign } from './refusal.ts'

describe('elementCount', () => {
  test('is the product of the dimensions: 1 for a scalar, 0 with a zero dimension', () => {
    expect(elementCount([])).toBe(1)
    expect(elementCount([2, 3, 64])).toBe(384)
    expect(elementCount([5, 0, 7])).toBe(0)
    expect(elementCount([2 ** 16, 2 ** 16])).toBe(2 ** 32)
    expect(elementCount([2 ** 53 - 1])).toBe(2 ** 53 - 1)
  })

  test.each([
    [[2 ** 53]],
    [[2 ** 27, 2 ** 26]],
    [[2 ** 40, 2 ** 40, 0]],
    [[0, 2 ** 40, 2 ** 40]],
    [[0, 2 ** 53]],
    [[-1]],
    [[-2, -2]],
    [[1.5]],
    [[2, 0.5]],
    [[NaN]],
    [[Infinity]],
  ])('refuses %j as SHAPE_MISMATCH', (shape) => {
    expect(codeOf(() => elementCount(shape))).toBe('SHAPE_MISMATCH')
    expect(isCountable(shape)).toBe(false)
  })

  test('agrees with BigInt, and is refused when BigInt gives more than 2^53 - 1', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.maxSafeNat().map((dimension) => Math.floor(dimension ** 0.4)),
          { maxLength: 8 },
        ),
        (shape) => {
          const nonZero = shape.reduce((product, dimension) => product * BigInt(dimension || 1), 1n)
          const exact = shape.reduce((product, dimension) => product * BigInt(dimension), 1n)
          if (nonZero > BigInt(Number.MAX_SAFE_INTEGER))
            expect(codeOf(() => elementCount(shape))).toBe('SHAPE_MISMATCH')
          else expect(BigInt(elementCount(shape))).toBe(exact)
        },
      ),
    )
  })
})

test('arrayBytes multiplies by the element size, and refuses bytes beyond 2^53 - 1', () => {
  expect(arrayBytes('float64', [3, 2])).toBe(48)
  expect(arrayBytes('bfloat16', [])).toBe(2)
  expect(arrayBytes('bool', [2 ** 53 - 1])).toBe(2 ** 53 - 1)
  expect(codeOf(() => arrayBytes('float16', [2 ** 53 - 1]))).toBe('SHAPE_MISMATCH')
})

test('checkRank accepts 9 dimensions, which gradients of 8-dimensional ids have, and refuses 10', () => {
  expect(codeOf(() => checkRank(9))).toBe(null)
  expect(codeOf(() => checkRank(10))).toBe('SHAPE_MISMATCH')
})

test('formatShape joins with commas; a scalar is empty', () => {
  expect(formatShape([2, 3, 64])).toBe('2,3,64')
  expect(formatShape([])).toBe('')
})

test('viewBytes returns a plain Uint8Array over the same memory, also for a Buffer inside a pool', () => {
  const bytes = misalign(new Uint8Array([9, 8, 7, 6]))
  const view = viewBytes(bytes, 1, 3)
  expect(view).toEqual(new Uint8Array([8, 7]))
  expect(view.buffer).toBe(bytes.buffer)
  expect(Buffer.isBuffer(view)).toBe(false)
})
