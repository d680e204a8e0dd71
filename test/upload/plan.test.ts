import { describe, expect, test } from 'vitest'
import { locateNpy, writeNpyHeader } from '../../src/formats/npy.ts'
import { locateSafetensors } from '../../src/formats/safetensors.ts'
import type { ElementType } from '../../src/core/types.ts'
import { type UploadOptions } from '../../src/upload/finish-plan.ts'
import { planArray, planNamedArray, planRaw } from '../../src/upload/plan.ts'
import { codeOf, refusalOf } from '../formats/refusal.ts'
import { safetensorsBody } from './bodies.ts'

const npy = (elementType: ElementType, shape: number[], options: Partial<UploadOptions> = {}) =>
  planArray(locateNpy(writeNpyHeader(elementType, shape)), { format: 'npy', ...options })

const header = (...shapes: [string, number[]][]) => {
  const tensors = shapes.map(([name, shape]) => {
    const length = shape.reduce((product, dimension) => product * dimension, 1)
    return { name, elementType: 'float32' as const, shape, data: new Float32Array(length) }
  })
  return locateSafetensors(safetensorsBody(...tensors), null)
}
const safetensors = (parsed: ReturnType<typeof header>, options: Partial<UploadOptions> = {}) =>
  planNamedArray(parsed, { format: 'safetensors', ...options })

describe('The plan of an upload', () => {
  test('states the position of the rows and how they are stored', () => {
    expect(npy('float16', [3, 5])).toEqual({
      rows: 3,
      dim: 5,
      sourceType: 'float16',
      dtype: 'float16',
      dataBegin: 128,
      dataEnd: 158,
      bodyBytes: 158,
    })
    expect(planRaw({ format: 'raw', rows: 2, dim: 3, inputType: 'float64' })).toEqual({
      rows: 2,
      dim: 3,
      sourceType: 'float64',
      dtype: 'float32',
      dataBegin: 0,
      dataEnd: 48,
      bodyBytes: 48,
    })
    expect(planRaw({ format: 'raw', rows: 2, dim: 3 })).toMatchObject({
      sourceType: 'float32',
      bodyBytes: 24,
    })
  })

  test('keeps storage dtypes, converts float64 to float32, and needs a dtype for others', () => {
    expect((['float32', 'float16', 'float64'] as const).map((type) => npy(type, [1, 1]).dtype)).toEqual([
      'float32',
      'float16',
      'float32',
    ])
    for (const type of [
      'int8',
      'int16',
      'int32',
      'int64',
      'uint8',
      'uint16',
      'uint32',
      'uint64',
      'bool',
    ] as const) {
      const { code, detail } = refusalOf(() => npy(type, [1, 1]))
      expect(code, type).toBe('DTYPE_MISMATCH')
      expect(detail).toContain('?dtype=float32')
      expect(npy(type, [1, 1], { dtype: 'bfloat16' })).toMatchObject({ sourceType: type, dtype: 'bfloat16' })
    }
  })

  test('is refused for arrays that cannot be a table', () => {
    for (const shape of [[], [4], [1, 2, 3], [3, 0], [0, 0], [2 ** 31, 1], [1, 65_537]]) {
      expect(
        codeOf(() => npy('float32', shape)),
        `${shape}`,
      ).toBe('SHAPE_MISMATCH')
    }
    expect(npy('float32', [0, 65_536])).toMatchObject({ rows: 0, dataBegin: 128, dataEnd: 128 })
    for (const [rows, dim] of [
      [-1, 2],
      [1.5, 2],
      [NaN, 2],
      [2, -1],
      [2 ** 53, 2],
      [2, 2 ** 53],
    ]) {
      expect(
        codeOf(() => planRaw({ format: 'raw', rows, dim })),
        `${rows} x ${dim}`,
      ).toBe('SHAPE_MISMATCH')
    }
  })

  test('needs rows and dim for raw numbers', () => {
    expect(codeOf(() => planRaw({ format: 'raw', rows: 3 }))).toBe('INVALID_REQUEST')
    expect(codeOf(() => planRaw({ format: 'raw', dim: 3 }))).toBe('INVALID_REQUEST')
  })

  test('is refused with options that belong to other formats', () => {
    for (const options of [{ rows: 1 }, { dim: 1 }, { inputType: 'float32' as const }, { tensor: 'rows' }]) {
      expect(codeOf(() => npy('float32', [1, 1], options))).toBe('INVALID_REQUEST')
    }
    expect(codeOf(() => planRaw({ format: 'raw', rows: 1, dim: 1, tensor: 'rows' }))).toBe('INVALID_REQUEST')
    expect(codeOf(() => safetensors(header(['rows', [1, 1]]), { rows: 1 }))).toBe('INVALID_REQUEST')
  })

  test('is refused with both lengths when the announced one differs', () => {
    expect(npy('float32', [2, 2], { contentLength: 144 }).bodyBytes).toBe(144)
    const { code, detail } = refusalOf(() => npy('float32', [2, 2], { contentLength: 143 }))
    expect(code).toBe('MALFORMED_BODY')
    expect(detail).toMatch(/144.*143/)
  })
})

describe('The table of a body with several arrays', () => {
  const several = header(['bias', [3]], ['left', [2, 3]], ['right', [1, 3]])

  test('is the only array with two dimensions', () => {
    const plan = safetensors(header(['bias', [3]], ['rows', [2, 3]], ['scale', []]))
    expect(plan).toMatchObject({ rows: 2, dim: 3 })
    expect(plan.dataEnd - plan.dataBegin).toBe(24)
    expect(plan.bodyBytes - plan.dataEnd).toBe(4)
  })

  test('can be chosen by name', () => {
    expect(safetensors(several, { tensor: 'right' })).toMatchObject({ rows: 1, dim: 3 })
    expect(codeOf(() => safetensors(several, { tensor: 'bias' }))).toBe('SHAPE_MISMATCH')
  })

  test('must be chosen when it is ambiguous, and the refusal names the arrays', () => {
    const open = refusalOf(() => safetensors(several))
    expect(open).toMatchObject({ code: 'INVALID_REQUEST' })
    expect(open.detail).toMatch(/\?tensor=.*"left", "right"/)
    const unknown = refusalOf(() => safetensors(several, { tensor: 'up' }))
    expect(unknown).toMatchObject({ code: 'INVALID_REQUEST' })
    expect(unknown.detail).toMatch(/"up".*"bias", "left", "right"/)
    const many = header(...Array.from({ length: 12 }, (_, i): [string, number[]] => [`t${i}`, [1, 1]]))
    expect(refusalOf(() => safetensors(many)).detail).toMatch(/"t9" and 2 more/)
  })

  test('does not exist without an array of two dimensions', () => {
    expect(codeOf(() => safetensors(header(['bias', [3]])))).toBe('SHAPE_MISMATCH')
    expect(codeOf(() => safetensors(header()))).toBe('SHAPE_MISMATCH')
  })
})
