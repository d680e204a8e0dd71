import { type ErrorCode, refuse } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { pointerTo } from '../core/pointers.ts'
import type { BagOperation } from '../kernels/bag.ts'
import type { LookupRequest } from './request.ts'

/** The bags of a pooled lookup, as they were asked for. Plain data. */
export interface BagPlan {
  operation: BagOperation
  bagCount: number
  /**
   * Bag b has the indices offsets[b]..offsets[b+1]-1: bagCount + 1 ascending numbers, from 0 to the count of
   * indices.
   */
  offsets: Int32Array
  /** One for each index, finite; null: all weigh one. */
  weights: Float32Array | null
}

/**
 * The bags of a request, checked; null when it asks for rows. A bag is a run of flat indices between two
 * offsets, or a row of nested ones (API.md, Pooling). Refuses INVALID_REQUEST, SHAPE_MISMATCH, NON_FINITE,
 * BATCH_TOO_LARGE.
 */
export const planBags = (request: LookupRequest): BagPlan | null => {
  const { pooling = 'none' } = request.options
  if (pooling === 'none') {
    checkUnpooled(request)
    return null
  }
  const offsets =
    request.offsets === undefined ? nestedOffsets(request) : flatOffsets(request, request.offsets)
  return {
    operation: pooling,
    bagCount: offsets.length - 1,
    offsets,
    weights: checkWeights(request, pooling),
  }
}

const refuseAt = (code: ErrorCode, pointer: string, detail: string): never =>
  refuse(code, detail, { errors: [{ pointer, detail }] })

/** Room for the offsets of `bagCount` bags. */
const allocateOffsets = (bagCount: number): Int32Array => {
  if (bagCount > LIMITS.lookupIndexCountMax)
    refuse('BATCH_TOO_LARGE', `${bagCount} bags in one lookup, the limit is ${LIMITS.lookupIndexCountMax}`)
  return new Int32Array(bagCount + 1)
}

const checkUnpooled = ({ offsets, weights, lengths }: LookupRequest): void => {
  if (offsets !== undefined) refuseAt('INVALID_REQUEST', '/offsets', 'offsets are for pooling')
  if (weights !== undefined) refuseAt('INVALID_REQUEST', '/weights', 'weights are for pooling')
  if (lengths !== undefined) refuseAt('SHAPE_MISMATCH', '/indices', 'lists of different length need pooling')
}

/** Each row of nested indices is a bag. Flat ones without offsets are no bags, unless there are none. */
const nestedOffsets = ({ indices, shape, lengths }: LookupRequest): Int32Array => {
  if (shape.length > 2)
    refuseAt(
      'SHAPE_MISMATCH',
      '/indices',
      `pooling takes lists of ids, or one list and offsets; these have ${shape.length} axes`,
    )
  if (shape.length < 2 && indices.length > 0)
    refuseAt('INVALID_REQUEST', '/offsets', 'pooling over flat indices needs offsets')
  const [bagCount, width] = shape.length === 2 ? shape : [0, 0]
  const offsets = allocateOffsets(bagCount)
  for (let bag = 0; bag < bagCount; bag++)
    offsets[bag + 1] = offsets[bag] + (lengths === undefined ? width : lengths[bag])
  return offsets
}

/** Offsets as PyTorch's EmbeddingBag takes them, but all of them checked. */
const flatOffsets = (
  request: LookupRequest,
  { values, shape }: NonNullable<LookupRequest['offsets']>,
): Int32Array => {
  const includesLast = request.options.include_last_offset ?? false
  const count = request.indices.length
  if (request.shape.length !== 1)
    refuseAt('INVALID_REQUEST', '/offsets', 'offsets are for flat indices; nested ones are bags already')
  if (shape.length !== 1)
    refuseAt('SHAPE_MISMATCH', '/offsets', `offsets are one list; these have ${shape.length} axes`)
  if (values.length === 0 && (includesLast || count > 0))
    refuseAt('INVALID_REQUEST', '/offsets', 'offsets begin with 0')
  const offsets = allocateOffsets(includesLast ? values.length - 1 : values.length)
  for (let i = 0; i < values.length; i++) {
    const offset = Number(values[i])
    const before = i === 0 ? 0 : offsets[i - 1]
    if (i === 0 && offset !== 0)
      refuseAt('INVALID_REQUEST', '/offsets/0', `offsets begin with 0, not ${offset}`)
    if (offset < before)
      refuseAt('INVALID_REQUEST', `/offsets/${i}`, `offsets do not decrease; ${offset} follows ${before}`)
    if (offset > count)
      refuseAt('SHAPE_MISMATCH', `/offsets/${i}`, `offset ${offset} is behind the end of ${count} indices`)
    offsets[i] = offset
  }
  if (!includesLast) offsets[values.length] = count
  else if (offsets[values.length - 1] !== count) {
    refuseAt(
      'SHAPE_MISMATCH',
      `/offsets/${values.length - 1}`,
      `the last offset is the count of indices, ${count}`,
    )
  }
  return offsets
}

const checkWeights = (request: LookupRequest, operation: BagOperation): Float32Array | null => {
  const { weights } = request
  if (weights === undefined) return null
  if (operation === 'max') refuseAt('INVALID_REQUEST', '/weights', 'max takes no weights')
  const { values, shape, lengths } = weights
  if (values.length !== request.indices.length) {
    refuseAt('SHAPE_MISMATCH', '/weights', `${values.length} weights for ${request.indices.length} indices`)
  }
  if (shape.length !== 1 && !nestAlike(weights, request))
    refuseAt('SHAPE_MISMATCH', '/weights', 'weights nest as the indices do, or not at all')
  const bad = values.findIndex((weight) => !Number.isFinite(weight))
  if (bad >= 0)
    refuseAt('NON_FINITE', `/weights${pointerTo(bad, shape, lengths)}`, `weight ${values[bad]} is not finite`)
  return values
}

const nestAlike = (
  one: Pick<LookupRequest, 'shape' | 'lengths'>,
  other: Pick<LookupRequest, 'shape' | 'lengths'>,
): boolean =>
  one.shape.length === other.shape.length &&
  one.shape.every((length, axis) => length === other.shape[axis]) &&
  (one.lengths === undefined || one.lengths.every((length, row) => length === other.lengths?.[row]))
