import { describe, expect, test } from 'vitest'
import { computeMask, printMask } from '../../src/lookup/mask.ts'

const mask = (indices: Int32Array | BigInt64Array, shape: number[], paddingRow = -1, lengths?: Int32Array) =>
  computeMask({ indices, shape, lengths }, 4, paddingRow)

describe('The mask of a lookup', () => {
  test('is true for ids within the table', () => {
    expect(Array.from(mask(Int32Array.of(0, 3, 4, -1), [4]).bytes)).toEqual([1, 1, 0, 0])
    expect(Array.from(mask(BigInt64Array.of(3n, 4n, -1n, 2n ** 40n), [4]).bytes)).toEqual([1, 0, 0, 0])
  })

  test('is false at the padding row, if there is one', () => {
    expect(Array.from(mask(Int32Array.of(0, 3, -1), [3], 3).bytes)).toEqual([1, 0, 0])
    expect(Array.from(mask(BigInt64Array.of(0n, 3n), [2], 0).bytes)).toEqual([0, 1])
  })

  test('is printed in the nesting of the ids', () => {
    expect(printMask(mask(Int32Array.of(1), []))).toBe('true')
    expect(printMask(mask(Int32Array.of(1, 9), [2]))).toBe('[true,false]')
    expect(printMask(mask(Int32Array.of(1, 9, 2, 3), [2, 2]))).toBe('[[true,false],[true,true]]')
    expect(printMask(mask(Int32Array.of(1, 9), [1, 2, 1]))).toBe('[[[true],[false]]]')
    expect(printMask(mask(Int32Array.of(), [0]))).toBe('[]')
    expect(printMask(mask(Int32Array.of(), [2, 0]))).toBe('[[],[]]')
    expect(printMask(mask(Int32Array.of(), [0, 2]))).toBe('[]')
  })

  test('is printed for ragged lists', () => {
    expect(printMask(mask(Int32Array.of(1, 9, 2), [3, -1], -1, Int32Array.of(0, 2, 1)))).toBe(
      '[[],[true,false],[true]]',
    )
  })
})
