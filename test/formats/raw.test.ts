import { describe, expect, test } from 'vitest'
import { formatShape, parseShape, readRaw } from '../../src/formats/raw.ts'
import { codeOf, misalign, refusalOf } from './refusal.ts'

describe('readRaw', () => {
  const bytes = new Uint8Array([1, 0, 0, 0, 2, 0, 0, 0])

  test('returns a flat array without a shape', () => {
    expect(readRaw(bytes, 'int32', null)).toEqual({ elementType: 'int32', shape: [2], data: bytes })
    expect(readRaw(new Uint8Array(0), 'int64', null)).toEqual({
      elementType: 'int64',
      shape: [0],
      data: new Uint8Array(0),
    })
  })

  test('copies a shape of as many elements', () => {
    const shape = [1, 2]
    const array = readRaw(bytes, 'int32', shape)
    expect(array.shape).toEqual([1, 2])
    expect(array.shape).not.toBe(shape)
    expect(readRaw(bytes, 'int64', []).shape).toEqual([])
    expect(readRaw(new Uint8Array(0), 'int64', [0, 7]).shape).toEqual([0, 7])
  })

  test('returns a view of the bytes that is not a Buffer', () => {
    const buffer = misalign(bytes)
    const { data } = readRaw(buffer, 'int32', null)
    expect(data).toEqual(bytes)
    expect(data.buffer).toBe(buffer.buffer)
    expect(Buffer.isBuffer(data)).toBe(false)
  })

  test('refuses a body that ends inside a number as MALFORMED_BODY', () => {
    for (let length = 0; length <= 8; length += 1) {
      expect(codeOf(() => readRaw(bytes.subarray(0, length), 'int32', null))).toBe(
        length % 4 === 0 ? null : 'MALFORMED_BODY',
      )
    }
    expect(codeOf(() => readRaw(bytes.subarray(0, 7), 'int32', [2]))).toBe('MALFORMED_BODY')
  })

  test('refuses a shape of more or fewer elements as SHAPE_MISMATCH with both numbers', () => {
    for (const shape of [[3], [1], [], [2, 2], [0]])
      expect(codeOf(() => readRaw(bytes, 'int32', shape))).toBe('SHAPE_MISMATCH')
    expect(refusalOf(() => readRaw(bytes, 'int32', [3, 5])).detail).toBe(
      'the body has 2 int32, the shape [3,5] has 15',
    )
  })
})

describe('parseShape', () => {
  test.each([
    ['', []],
    ['0', [0]],
    ['5', [5]],
    ['2,3,64', [2, 3, 64]],
    ['1,1,1,1,1,1,1,1', [1, 1, 1, 1, 1, 1, 1, 1]],
    ['9007199254740991', [2 ** 53 - 1]],
    ['0,5', [0, 5]],
  ])('reads %j', (text, shape) => {
    expect(parseShape(text)).toEqual(shape)
    expect(formatShape(shape)).toBe(text)
  })

  test.each([
    ',',
    '2,',
    ',2',
    '2,,3',
    '2, 3',
    ' 2',
    '2 ',
    '-1',
    '+1',
    '01',
    '1.0',
    '1e2',
    '0x2',
    'a',
    '2;3',
    '٣',
    '2\n',
    '9007199254740992',
    '4503599627370496,2',
    '1099511627776,1099511627776,0',
    '0,9007199254740993',
    '9'.repeat(400),
    '1,1,1,1,1,1,1,1,1',
    '1,'.repeat(1000),
  ])('refuses %j as INVALID_REQUEST', (text) => {
    expect(codeOf(() => parseShape(text))).toBe('INVALID_REQUEST')
  })
})
