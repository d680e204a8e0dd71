import { describe, expect, test } from 'vitest'
import type { ElementType } from '../../src/core/types.ts'
import { readJsonObject } from '../../src/formats/json-reader.ts'
import { writeNpyHeader } from '../../src/formats/npy.ts'
import { writeSafetensorsHeader } from '../../src/formats/safetensors.ts'
import { decodeIndices, fromTensors } from '../../src/lookup/decode.ts'

const bytesOf = (array: ArrayBufferView) => Buffer.from(array.buffer, array.byteOffset, array.byteLength)
const json = (body: string) =>
  fromTensors(readJsonObject(Buffer.from(body), ['indices', 'offsets', 'weights']).tensors)

type Tensor = [elementType: ElementType, shape: number[], data: ArrayBufferView]
const safetensors = (tensors: Record<string, Tensor>) => {
  const described = Object.entries(tensors).map(([name, [elementType, shape]]) => ({
    name,
    elementType,
    shape,
  }))
  return Buffer.concat([
    writeSafetensorsHeader(described).header,
    ...Object.values(tensors).map(([, , data]) => bytesOf(data)),
  ])
}
const refused = (code: string, pointer?: string) =>
  expect.objectContaining({
    code,
    ...(pointer !== undefined && { errors: [expect.objectContaining({ pointer })] }),
  })

describe('The arrays of a JSON lookup', () => {
  test('keep their nesting', () => {
    expect(json('{"indices":3}')).toMatchObject({ indices: Float64Array.of(3), shape: [] })
    expect(json('{"indices":[[3,1],[2,0]]}')).toMatchObject({
      indices: Float64Array.of(3, 1, 2, 0),
      shape: [2, 2],
    })
    const ragged = json('{"indices":[[3],[],[2,0]],"weights":[[1],[],[2,3]]}')
    expect(ragged).toMatchObject({
      indices: Float64Array.of(3, 2, 0),
      shape: [3, -1],
      lengths: Int32Array.of(1, 0, 2),
    })
    expect(ragged.weights).toEqual({
      values: Float32Array.of(1, 2, 3),
      shape: [3, -1],
      lengths: Int32Array.of(1, 0, 2),
    })
    expect(json('{"indices":[3,1],"offsets":[0,1]}').offsets).toMatchObject({
      values: Float64Array.of(0, 1),
      shape: [2],
    })
  })

  test('are absent when the body lacks them', () => {
    expect(Object.keys(json('{"indices":[]}')).sort()).toEqual(['indices', 'lengths', 'shape'])
  })

  test.each([
    ['{}', 'INVALID_REQUEST', '/indices'],
    ['{"indices":[1.5]}', 'INVALID_REQUEST', '/indices/0'],
    ['{"indices":[1],"offsets":[0.5]}', 'INVALID_REQUEST', '/offsets/0'],
    ['{"indices":[9007199254740993]}', 'INVALID_REQUEST', '/indices/0'],
    ['{"indices":[[1]],"weights":[[1e39]]}', 'NON_FINITE', '/weights/0/0'],
    ['{"indices":[[1]],"weights":[["1"]]}', 'INVALID_REQUEST', '/weights/0/0'],
  ])('are refused in %s', (body, code, pointer) => {
    expect(() => json(body)).toThrowError(refused(code, pointer))
  })
})

describe('The arrays of a binary lookup', () => {
  test('are raw ids with shape and type in the query', () => {
    expect(decodeIndices('raw', bytesOf(Int32Array.of(3, 1)), {})).toEqual({
      indices: Int32Array.of(3, 1),
      shape: [2],
    })
    const wide = decodeIndices('raw', bytesOf(BigUint64Array.of(3n, 1n)), {
      index_dtype: 'uint64',
      shape: '2,1',
    })
    expect(wide).toEqual({ indices: BigUint64Array.of(3n, 1n), shape: [2, 1] })
  })

  test('may have offsets and weights in the query', () => {
    const npy = Buffer.concat([writeNpyHeader('int32', [3]), bytesOf(Int32Array.of(3, 1, 2))])
    const query = { offsets: '0,2', weights: '0.5,1,-2' }
    const expected = {
      shape: [3],
      offsets: { values: Float64Array.of(0, 2), shape: [2] },
      weights: { values: Float32Array.of(0.5, 1, -2), shape: [3] },
    }
    expect(decodeIndices('npy', npy, query)).toMatchObject(expected)
    expect(decodeIndices('raw', bytesOf(Int32Array.of(3, 1, 2)), query)).toMatchObject(expected)
  })

  test('are tensors in safetensors', () => {
    const body = safetensors({
      indices: ['int64', [3], BigInt64Array.of(3n, 1n, 2n)],
      offsets: ['uint8', [2], Uint8Array.of(0, 2)],
      weights: ['float16', [3], Float16Array.of(0.5, 1, -2)],
    })
    expect(decodeIndices('safetensors', body, {})).toEqual({
      indices: BigInt64Array.of(3n, 1n, 2n),
      shape: [3],
      offsets: { values: Uint8Array.of(0, 2), shape: [2] },
      weights: { values: Float32Array.of(0.5, 1, -2), shape: [3] },
    })
  })

  const ids: Tensor = ['int32', [1], Int32Array.of(0)]
  test.each<[string, Record<string, Tensor>, string, string?]>([
    ['indices that are missing', { offsets: ids }, 'INVALID_REQUEST', '/indices'],
    ['another tensor', { indices: ids, gradients: ids }, 'INVALID_REQUEST'],
    ['indices that are no integers', { indices: ['float32', [1], Float32Array.of(0)] }, 'DTYPE_MISMATCH'],
    [
      'offsets that are no integers',
      { indices: ids, offsets: ['float32', [1], Float32Array.of(0)] },
      'DTYPE_MISMATCH',
      '/offsets',
    ],
    ['weights that are integers', { indices: ids, weights: ids }, 'DTYPE_MISMATCH', '/weights'],
    [
      'weights that are booleans',
      { indices: ids, weights: ['bool', [1], Uint8Array.of(1)] },
      'DTYPE_MISMATCH',
      '/weights',
    ],
  ])('are refused with %s', (_what, tensors, code, pointer) => {
    expect(() => decodeIndices('safetensors', safetensors(tensors), {})).toThrowError(refused(code, pointer))
  })

  test('must not be described in the query when the body describes them', () => {
    const npy = Buffer.concat([writeNpyHeader('int32', [1]), bytesOf(Int32Array.of(3))])
    for (const query of [{ shape: '1' }, { index_dtype: 'int32' as const }]) {
      expect(() => decodeIndices('npy', npy, query)).toThrowError(refused('INVALID_REQUEST'))
    }
    const body = safetensors({ indices: ids })
    for (const query of [{ shape: '1' }, { offsets: '0' }, { weights: '1' }]) {
      expect(() => decodeIndices('safetensors', body, query)).toThrowError(refused('INVALID_REQUEST'))
    }
  })
})
