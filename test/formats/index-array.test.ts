import { describe, expect, test } from 'vitest'
import { AssertionFailure } from '../../src/core/assert.ts'
import { ELEMENT_BYTES } from '../../src/core/types.ts'
import type { ElementType } from '../../src/core/types.ts'
import { asFloat32, asIndexArray } from '../../src/formats/index-array.ts'
import { bytesOf, codeOf, COUNTING, misalign } from './refusal.ts'

const TYPES = Object.keys(ELEMENT_BYTES) as ElementType[]
const FLOATS: ElementType[] = ['float64', 'float32', 'float16', 'bfloat16']
const INTEGERS = TYPES.filter((elementType) => /^u?int/.test(elementType))

describe('asIndexArray', () => {
  test.each(INTEGERS)('returns a view of aligned %s', (elementType) => {
    const bytes = bytesOf(COUNTING[elementType])
    const indices = asIndexArray(bytes, elementType)
    expect(indices).toEqual(COUNTING[elementType])
    expect(indices.buffer).toBe(bytes.buffer)
  })

  test.each(INTEGERS)(
    'copies %s from an odd address, or returns a view if its elements are single bytes',
    (elementType) => {
      const bytes = misalign(bytesOf(COUNTING[elementType]))
      const indices = asIndexArray(bytes, elementType)
      expect(indices).toEqual(COUNTING[elementType])
      expect(indices.buffer === bytes.buffer).toBe(ELEMENT_BYTES[elementType] === 1)
    },
  )

  test('reads the extreme integers of 64 bits', () => {
    const extremes = new BigInt64Array([-(2n ** 63n), 2n ** 63n - 1n, -1n])
    expect(asIndexArray(bytesOf(extremes), 'int64')).toEqual(extremes)
    expect(asIndexArray(bytesOf(extremes), 'uint64')).toEqual(
      new BigUint64Array([2n ** 63n, 2n ** 63n - 1n, 2n ** 64n - 1n]),
    )
  })

  test('reads no bytes as no indices', () => {
    for (const elementType of INTEGERS) expect(asIndexArray(new Uint8Array(0), elementType).length).toBe(0)
  })

  test.each([...FLOATS, 'bool' as const])('refuses %s as DTYPE_MISMATCH', (elementType) => {
    expect(codeOf(() => asIndexArray(bytesOf(COUNTING[elementType]), elementType))).toBe('DTYPE_MISMATCH')
  })

  test('asserts that the bytes are whole elements', () => {
    expect(() => asIndexArray(new Uint8Array(7), 'int32')).toThrow(AssertionFailure)
  })
})

describe('asFloat32', () => {
  test.each(FLOATS)('reads %s, aligned or not', (elementType) => {
    const bytes = bytesOf(COUNTING[elementType])
    expect(asFloat32(bytes, elementType)).toEqual(COUNTING.float32)
    expect(asFloat32(misalign(bytes), elementType)).toEqual(COUNTING.float32)
  })

  test('returns a view of aligned float32', () => {
    const bytes = bytesOf(COUNTING.float32)
    expect(asFloat32(bytes, 'float32').buffer).toBe(bytes.buffer)
  })

  test('rounds float64 half to even, and to infinity on overflow', () => {
    const source = new Float64Array([0.1, 1 + 2 ** -24, 1 + 3 * 2 ** -24, 1e39, -1e39, 2 ** -150, -0])
    expect(asFloat32(bytesOf(source), 'float64')).toEqual(
      new Float32Array([Math.fround(0.1), 1, 1 + 2 ** -22, Infinity, -Infinity, 0, -0]),
    )
  })

  test('reads every float16 exactly', () => {
    const halves = new Float16Array(new Uint16Array(65_536).map((_, index) => index).buffer)
    const singles = asFloat32(bytesOf(halves), 'float16')
    for (let index = 0; index < 65_536; index += 1) {
      if (!Object.is(singles[index], halves[index])) throw new Error(`float16 ${index}: ${singles[index]}`)
    }
  })

  test('reads every bfloat16 as the upper half of a float32', () => {
    const source = new Uint16Array(65_536).map((_, index) => index)
    const singles = asFloat32(bytesOf(source), 'bfloat16')
    const bits = new Uint32Array(singles.buffer)
    for (let index = 0; index < 65_536; index += 1) {
      if (bits[index] !== index * 65_536) throw new Error(`bfloat16 ${index}: ${bits[index]}`)
    }
    expect(singles[0xff80]).toBe(-Infinity)
    expect(singles[0x7fc0]).toBeNaN()
  })

  test.each([...INTEGERS, 'bool' as const])('refuses %s as DTYPE_MISMATCH', (elementType) => {
    expect(codeOf(() => asFloat32(bytesOf(COUNTING[elementType]), elementType))).toBe('DTYPE_MISMATCH')
  })
})
