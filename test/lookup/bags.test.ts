import { describe, expect, test } from 'vitest'
import { GatherdError } from '../../src/core/errors.ts'
import { LIMITS } from '../../src/core/limits.ts'
import { planBags } from '../../src/lookup/bags.ts'
import type { LookupRequest } from '../../src/lookup/request.ts'

/** A request with ids 0, 1, ... of a shape, or in rows of these lengths. */
const ask = (shape: number[] | { lengths: number[] }, rest: Partial<LookupRequest> = {}): LookupRequest => {
  const nesting = Array.isArray(shape)
    ? { shape }
    : { shape: [shape.lengths.length, -1], lengths: Int32Array.from(shape.lengths) }
  const count = Array.isArray(shape)
    ? shape.reduce((product, length) => product * length, 1)
    : shape.lengths.reduce((sum, length) => sum + length, 0)
  return {
    indices: Int32Array.from({ length: count }, (_, i) => i),
    ...nesting,
    options: { pooling: 'sum' },
    ...rest,
  }
}
const list = (...values: number[]) => ({ values: Float64Array.from(values), shape: [values.length] })
const weigh = (...values: number[]) => ({ values: Float32Array.from(values), shape: [values.length] })
const last = { pooling: 'sum' as const, include_last_offset: true }

const offsetsOf = (request: LookupRequest) => Array.from(planBags(request)?.offsets ?? [])

describe('Bags', () => {
  test('are the lists of nested ids', () => {
    expect(offsetsOf(ask([2, 3]))).toEqual([0, 3, 6])
    expect(offsetsOf(ask([3, 0]))).toEqual([0, 0, 0, 0])
    expect(offsetsOf(ask([0, 4]))).toEqual([0])
    expect(offsetsOf(ask({ lengths: [2, 0, 3] }))).toEqual([0, 2, 2, 5])
  })

  test('begin at the offsets of flat ids, and the last ends with the ids or at the last offset', () => {
    expect(offsetsOf(ask([5], { offsets: list(0, 2, 2) }))).toEqual([0, 2, 2, 5])
    expect(offsetsOf(ask([5], { offsets: list(0, 2, 5), options: last }))).toEqual([0, 2, 5])
    expect(offsetsOf(ask([5], { offsets: list(0, 2, 5) }))).toEqual([0, 2, 5, 5])
    expect(offsetsOf(ask([5], { offsets: { values: BigInt64Array.of(0n, 3n), shape: [2] } }))).toEqual([
      0, 3, 5,
    ])
    expect(offsetsOf(ask([5], { offsets: { values: Uint8Array.of(0, 3), shape: [2] } }))).toEqual([0, 3, 5])
  })

  test('may be empty in number', () => {
    expect(offsetsOf(ask([0]))).toEqual([0])
    expect(offsetsOf(ask([0], { offsets: list() }))).toEqual([0])
    expect(offsetsOf(ask([0], { offsets: list(0), options: last }))).toEqual([0])
    expect(planBags(ask([0]))?.bagCount).toBe(0)
  })

  test('are null without pooling', () => {
    expect(planBags(ask([2, 3], { options: {} }))).toBeNull()
    expect(planBags(ask([2, 3], { options: { pooling: 'none', include_last_offset: false } }))).toBeNull()
  })

  test('have weights that are nested like the ids, or flat', () => {
    const weights = weigh(1, 2, 3, 4)
    const ragged = { shape: [2, -1], lengths: Int32Array.of(1, 3) }
    expect(planBags(ask([2, 2], { weights }))?.weights).toEqual(weights.values)
    expect(planBags(ask([2, 2], { weights: { ...weights, shape: [2, 2] } }))?.weights).toEqual(weights.values)
    expect(planBags(ask({ lengths: [1, 3] }, { weights }))?.weights).toEqual(weights.values)
    expect(planBags(ask({ lengths: [1, 3] }, { weights: { ...weights, ...ragged } }))?.weights).toEqual(
      weights.values,
    )
    expect(planBags(ask([2, 2]))?.weights).toBeNull()
  })

  const tooMany = LIMITS.lookupIndexCountMax + 1

  test.each<[string, LookupRequest, string, string]>([
    ['flat ids without offsets', ask([3]), 'INVALID_REQUEST', '/offsets'],
    ['one id', ask([]), 'INVALID_REQUEST', '/offsets'],
    [
      'a last offset of nested ids',
      ask([1, 2], { options: last }),
      'INVALID_REQUEST',
      '/include_last_offset',
    ],
    [
      'a last offset without pooling',
      ask([2], { options: { include_last_offset: true } }),
      'INVALID_REQUEST',
      '/include_last_offset',
    ],
    ['ids of rank 3', ask([1, 2, 2]), 'SHAPE_MISMATCH', '/indices'],
    ['empty ids of rank 3', ask([1, 2, 0]), 'SHAPE_MISMATCH', '/indices'],
    ['nested ids with offsets', ask([2, 2], { offsets: list(0, 2) }), 'INVALID_REQUEST', '/offsets'],
    [
      'ragged ids with offsets',
      ask({ lengths: [2, 1] }, { offsets: list(0, 2) }),
      'INVALID_REQUEST',
      '/offsets',
    ],
    ['one id with offsets', ask([], { offsets: list(0) }), 'INVALID_REQUEST', '/offsets'],
    [
      'nested offsets',
      ask([3], { offsets: { values: Float64Array.of(0, 1), shape: [1, 2] } }),
      'SHAPE_MISMATCH',
      '/offsets',
    ],
    [
      'one bare offset',
      ask([3], { offsets: { values: Float64Array.of(0), shape: [] } }),
      'SHAPE_MISMATCH',
      '/offsets',
    ],
    ['no offsets for ids', ask([3], { offsets: list() }), 'INVALID_REQUEST', '/offsets'],
    ['not even a last offset', ask([0], { offsets: list(), options: last }), 'INVALID_REQUEST', '/offsets'],
    ['a first offset that is not 0', ask([3], { offsets: list(1, 2) }), 'INVALID_REQUEST', '/offsets/0'],
    ['a negative offset', ask([3], { offsets: list(-1) }), 'INVALID_REQUEST', '/offsets/0'],
    ['offsets that decrease', ask([3], { offsets: list(0, 2, 1) }), 'INVALID_REQUEST', '/offsets/2'],
    ['an offset behind the end', ask([3], { offsets: list(0, 4) }), 'SHAPE_MISMATCH', '/offsets/1'],
    [
      'an offset beyond all numbers',
      ask([3], { offsets: { values: BigUint64Array.of(0n, 2n ** 64n - 1n), shape: [2] } }),
      'SHAPE_MISMATCH',
      '/offsets/1',
    ],
    [
      'a last offset before the end',
      ask([3], { offsets: list(0, 2), options: last }),
      'SHAPE_MISMATCH',
      '/offsets/1',
    ],
    ['offsets without pooling', ask([3], { offsets: list(0), options: {} }), 'INVALID_REQUEST', '/offsets'],
    [
      'weights without pooling',
      ask([3], { weights: weigh(1, 1, 1), options: { pooling: 'none' } }),
      'INVALID_REQUEST',
      '/weights',
    ],
    ['ragged ids without pooling', ask({ lengths: [2, 1] }, { options: {} }), 'SHAPE_MISMATCH', '/indices'],
    [
      'weights with max',
      ask([1, 3], { weights: weigh(1, 1, 1), options: { pooling: 'max' } }),
      'INVALID_REQUEST',
      '/weights',
    ],
    ['too few weights', ask([1, 3], { weights: weigh(1, 1) }), 'SHAPE_MISMATCH', '/weights'],
    ['too many weights', ask([1, 3], { weights: weigh(1, 1, 1, 1) }), 'SHAPE_MISMATCH', '/weights'],
    [
      'weights of another nesting',
      ask([2, 3], { weights: { ...weigh(1, 1, 1, 1, 1, 1), shape: [3, 2] } }),
      'SHAPE_MISMATCH',
      '/weights',
    ],
    [
      'nested weights for flat ids',
      ask([2], { offsets: list(0), weights: { ...weigh(1, 1), shape: [1, 2] } }),
      'SHAPE_MISMATCH',
      '/weights',
    ],
    [
      'weights of other lengths',
      ask(
        { lengths: [1, 3] },
        { weights: { ...weigh(1, 1, 1, 1), shape: [2, -1], lengths: Int32Array.of(3, 1) } },
      ),
      'SHAPE_MISMATCH',
      '/weights',
    ],
    [
      'a weight that is not finite',
      ask([2, 2], { weights: { ...weigh(1, 1, NaN, 1), shape: [2, 2] } }),
      'NON_FINITE',
      '/weights/1/0',
    ],
    ['an infinite weight', ask([2, 2], { weights: weigh(1, 1, 1, -Infinity) }), 'NON_FINITE', '/weights/3'],
  ])('refuse %s', (_what, request, code, pointer) => {
    const error = catchRefusal(() => planBags(request))
    expect([error.code, error.errors?.[0]?.pointer]).toEqual([code, pointer])
  })

  test.each([
    ['nested', ask([tooMany, 0])],
    ['in offsets', ask([0], { offsets: { values: new Int32Array(tooMany), shape: [tooMany] } })],
    ['of an impossible shape', ask([2 ** 40, 0])],
  ])('refuse more of them than a lookup may have, %s', (_how, request) => {
    expect(catchRefusal(() => planBags(request)).code).toBe('BATCH_TOO_LARGE')
  })
})

const catchRefusal = (work: () => unknown): GatherdError => {
  try {
    work()
  } catch (error) {
    if (error instanceof GatherdError) return error
    throw error
  }
  return expect.unreachable('nothing was refused')
}
