import { describe, expect, test } from 'vitest'
import { parseIntegers, parseNumbers } from '../../src/lookup/decode.ts'

describe('A list of numbers in a query', () => {
  test('is separated by commas', () => {
    expect(parseIntegers('0,2,-5', 'offsets')).toEqual([0, 2, -5])
    expect(parseNumbers('0.5,-1,2e-3', 'weights')).toEqual([0.5, -1, 0.002])
    expect(parseIntegers('', 'offsets')).toEqual([])
    expect(parseIntegers('3e2', 'offsets')).toEqual([300])
  })

  test.each(['1,', ',', ' 1', '1, 2', '0x10', '01', '+1', '1.', '.5', 'NaN', 'Infinity', '1;2', '0.5'])(
    'is refused as integers when it is %j',
    (text) => {
      expect(() => parseIntegers(text, 'offsets')).toThrowError(
        expect.objectContaining({ code: 'INVALID_REQUEST' }),
      )
    },
  )

  test('is refused when an integer is not exact as a double', () => {
    expect(() => parseIntegers('9007199254740993', 'offsets')).toThrowError(
      expect.objectContaining({ code: 'INVALID_REQUEST' }),
    )
  })

  test('is refused with the position of the mistake', () => {
    const errors = [expect.objectContaining({ pointer: '/weights/1' })]
    expect(() => parseNumbers('1,x', 'weights')).toThrowError(
      expect.objectContaining({ code: 'INVALID_REQUEST', errors }),
    )
  })
})
