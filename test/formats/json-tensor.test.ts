import { describe, expect, test } from 'vitest'
import { LIMITS } from '../../src/core/limits.ts'
import { toFloat32, toIndexArray } from '../../src/formats/json-tensor.ts'
import { errorOf, pointersOf, readTensor } from './json-bodies.ts'

describe('JSON indices', () => {
  test('are integers in any notation', () => {
    expect(toIndexArray(readTensor('[3.0,1e0,-0,-2,9007199254740991,30e-1]'), '/indices')).toEqual(
      Float64Array.of(3, 1, -0, -2, 9007199254740991, 3),
    )
  })

  test('are refused when they are fractions, with the first positions', () => {
    expect(errorOf(() => toIndexArray(readTensor('[[0,1],[2,2.25]]'), '/indices'))).toMatchObject({
      code: 'INVALID_REQUEST',
      errors: [{ pointer: '/indices/1/1', detail: 'expected an integer, got 2.25' }],
    })
    expect(pointersOf(() => toIndexArray(readTensor('0.5'), '/indices'))).toEqual(['/indices'])
    expect(
      pointersOf(() => toIndexArray(readTensor('[[],[1,0.5],[],[2,3,1.5]]'), '/lookups/2/indices')),
    ).toEqual(['/lookups/2/indices/1/1', '/lookups/2/indices/3/2'])
    const many = readTensor(JSON.stringify(Array.from({ length: 50 }, (_, index) => index + 0.5)))
    expect(pointersOf(() => toIndexArray(many, '/indices')).length).toBe(LIMITS.errorPlacesMax)
  })

  test('are refused when they are too large for a double to be exact', () => {
    for (const text of [
      '[9007199254740992]',
      '[9007199254740993]',
      '[-9007199254740992]',
      '[1e300]',
      '[1e999]',
    ]) {
      const error = errorOf(() => toIndexArray(readTensor(text), '/indices'))
      expect(error.code).toBe('INVALID_REQUEST')
      expect(error.errors?.[0]).toEqual({
        pointer: '/indices/0',
        detail: 'an integer beyond 2^53 - 1 is not exactly representable, send a binary format',
      })
    }
  })
})

describe('JSON float32 values', () => {
  test('are rounded half to even', () => {
    const values = [0.1, 16777217, 16777219, 3.4028235677973362e38, 1e-46, 7.038531e-26]
    expect(toFloat32(readTensor(`[${values.join(',')},-0]`), '/values')).toEqual(
      Float32Array.from([...values, -0], Math.fround),
    )
  })

  test('are refused when they are too large, with the first positions', () => {
    expect(errorOf(() => toFloat32(readTensor('[[0,1],[1e39,2],[3,-1e999]]'), '/gradients'))).toMatchObject({
      code: 'NON_FINITE',
      errors: [
        { pointer: '/gradients/1/0', detail: '1e+39 is too large for float32' },
        { pointer: '/gradients/2/1', detail: 'the number is too large for float32' },
      ],
    })
    expect(errorOf(() => toFloat32(readTensor('3.4028235677973366e38'), '/w')).code).toBe('NON_FINITE')
  })
})
