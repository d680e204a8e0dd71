import { describe, expect, test } from 'vitest'
import type { JsonTensor } from '../../src/formats/json-reader.ts'
import { frameSafetensors } from '../../src/formats/safetensors.ts'
import { createValueMemory, fromNamedArrays, fromTensors } from '../../src/update/decode.ts'
import { codeOf, refusalOf } from '../formats/refusal.ts'

const INDICES: JsonTensor = { values: Float64Array.of(3, 1), shape: [2] }
const GRADIENTS: JsonTensor = { values: Float64Array.of(1, 2, 3, 4), shape: [2, 2] }

describe('A JSON update', () => {
  const decode = (members: Record<string, JsonTensor>) =>
    fromTensors(new Map(Object.entries(members)), 'gradients')

  test('is decoded to indices and float32 values with their shapes', () => {
    expect(decode({ indices: INDICES, gradients: GRADIENTS })).toEqual({
      indices: Float64Array.of(3, 1),
      shape: [2],
      values: Float32Array.of(1, 2, 3, 4),
      valuesShape: [2, 2],
      valuesName: 'gradients',
    })
  })

  test.each([
    ['indices', { gradients: GRADIENTS }],
    ['gradients', { indices: INDICES }],
  ])('is refused without %s, by the name of the member', (name, members) => {
    expect(refusalOf(() => decode(members as Record<string, JsonTensor>))).toEqual({
      code: 'INVALID_REQUEST',
      detail: `the body has no ${name}`,
    })
  })

  test('is refused when its indices or its values are ragged', () => {
    const lengths = Int32Array.of(1, 3)
    expect(codeOf(() => decode({ indices: { ...INDICES, lengths }, gradients: GRADIENTS }))).toBe(
      'SHAPE_MISMATCH',
    )
    expect(codeOf(() => decode({ indices: INDICES, gradients: { ...GRADIENTS, lengths } }))).toBe(
      'SHAPE_MISMATCH',
    )
  })

  test('is refused for an index that is not an integer and a value beyond float32', () => {
    const half = { values: Float64Array.of(0.5, 1), shape: [2] }
    const large = { values: Float64Array.of(1, 2, 3, 1e39), shape: [2, 2] }
    expect(codeOf(() => decode({ indices: half, gradients: GRADIENTS }))).toBe('INVALID_REQUEST')
    expect(codeOf(() => decode({ indices: INDICES, gradients: large }))).toBe('NON_FINITE')
  })
})

describe('An update of named arrays', () => {
  const indices = { elementType: 'int32' as const, shape: [2], data: Int32Array.of(3, 1) }
  const values = { elementType: 'float32' as const, shape: [2, 1], data: Float32Array.of(7, 8) }
  type Part = typeof indices | typeof values
  const encode = (arrays: Record<string, Part>): Buffer => {
    const parts = Object.entries(arrays).map(([name, { elementType, shape, data }]) => {
      return { name, elementType, shape, bytes: Buffer.from(data.buffer) }
    })
    return Buffer.concat([frameSafetensors(parts).head, ...parts.map(({ bytes }) => bytes)])
  }

  test('is decoded by the name that the request gives to its values', () => {
    expect(fromNamedArrays('safetensors', encode({ indices, values }), 'values')).toEqual({
      indices: Int32Array.of(3, 1),
      shape: [2],
      values: Float32Array.of(7, 8),
      valuesShape: [2, 1],
      valuesName: 'values',
    })
  })

  test('is refused when an array is missing or has an unknown name', () => {
    const decode = (arrays: Record<string, Part>) =>
      refusalOf(() => fromNamedArrays('safetensors', encode(arrays), 'gradients'))
    expect(decode({ gradients: values })).toEqual({
      code: 'INVALID_REQUEST',
      detail: 'the body has no indices',
    })
    expect(decode({ indices })).toEqual({ code: 'INVALID_REQUEST', detail: 'the body has no gradients' })
    expect(decode({ indices, gradients: values, values })).toEqual({
      code: 'INVALID_REQUEST',
      detail:
        'the body has a tensor "values"; did you mean gradients? only indices and gradients are expected',
    })
  })

  test('is refused when its types are exchanged', () => {
    const body = encode({ indices: { ...values, shape: [2] }, gradients: values })
    expect(codeOf(() => fromNamedArrays('safetensors', body, 'gradients'))).toBe('DTYPE_MISMATCH')
  })

  test('is refused in a format whose arrays have no names', () => {
    expect(codeOf(() => fromNamedArrays('npy', Buffer.alloc(8), 'values'))).toBe('UNSUPPORTED_MEDIA_TYPE')
  })
})

test('Value memory is reused by the next body and grows when a body needs more', () => {
  const keep = createValueMemory()
  const first = keep(Float32Array.of(1, 2))
  const second = keep(Float32Array.of(3))
  expect(Array.from(second)).toEqual([3])
  expect(second.buffer).toBe(first.buffer)
  expect(Array.from(keep(Float32Array.of(4, 5, 6)))).toEqual([4, 5, 6])
})
