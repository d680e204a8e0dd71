/** Plans the bags of a pooled lookup: checks its offsets and weights. */
import { type ErrorCode, refuse } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { pointerTo } from '../core/pointers.ts'
import type { BagOperation } from '../kernels/bag.ts'
import type { LookupRequest } from './request.ts'

/** The bags of a pooled lookup, as plain data. */
export interface BagPlan {
  operation: BagOperation
  bagCount: number
  /**
   * Bag b has the indices offsets[b]..offsets[b+1]-1. These are bagCount + 1 ascending numbers, from 0 to the
   * number of indices.
   */
  offsets: Int32Array
  /** A finite weight for each index. null: every weight is one. */
  weights: Float32Array | null
}

/**
 * Checks the bags of a request; null if it does not pool. A bag is a run of flat indices between two offsets,
 * or a row of nested indices. Refuses INVALID_REQUEST, SHAPE_MISMATCH, NON_FINITE, BATCH_TOO_LARGE.
 */
export const planBags = (request: LookupRequest): BagPlan | null => {
  const { pooling = 'none', include_last_offset: includesLast = false } = request.options
  if (includesLast && request.offsets === undefined)
    refuseAt(
      'INVALID_REQUEST',
      '/include_last_offset',
      'include_last_offset is about offsets, and there are none: send offsets too, or leave it out',
    )
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

/** Allocates the offsets of `bagCount` bags. Refuses BATCH_TOO_LARGE for too many. */
const allocateOffsets = (bagCount: number): Int32Array => {
  if (bagCount > LIMITS.lookupIndexCountMax)
    refuse('BATCH_TOO_LARGE', `${bagCount} bags in one lookup, the limit is ${LIMITS.lookupIndexCountMax}`)
  return new Int32Array(bagCount + 1)
}

const checkUnpooled = ({ offsets, weights, lengths }: LookupRequest): void => {
  if (offsets !== undefined)
    refuseAt(
      'INVALID_REQUEST',
      '/offsets',
      'offsets are only for pooling: send pooling too, or leave them out',
    )
  if (weights !== undefined)
    refuseAt(
      'INVALID_REQUEST',
      '/weights',
      'weights are only for pooling: send pooling too, or leave them out',
    )
  if (lengths !== undefined)
    refuseAt('SHAPE_MISMATCH', '/indices', 'lists of different length need pooling: send pooling too')
}

/** Makes a bag of each row of nested indices. Flat indices need offsets, unless there are no indices. */
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

/** Checks offsets as PyTorch's EmbeddingBag defines them, every one of them. */
const flatOffsets = (
  request: LookupRequest,
  { values, shape }: NonNullable<LookupRequest['offsets']>,
): Int32Array => {
  const includesLast = request.options.include_last_offset ?? false
  const count = request.indices.length
  if (request.shape.length !== 1)
    refuseAt(
      'INVALID_REQUEST',
      '/offsets',
      'offsets are for flat indices; nested ones are already bags, so leave offsets out',
    )
  if (shape.length !== 1)
    refuseAt('SHAPE_MISMATCH', '/offsets', `offsets are one list; these have ${shape.length} axes`)
  if (values.length === 0 && (includesLast || count > 0))
    refuseAt('INVALID_REQUEST', '/offsets', 'offsets must begin with 0; the list is empty')
  const offsets = allocateOffsets(includesLast ? values.length - 1 : values.length)
  for (let i = 0; i < values.length; i++) {
    const offset = Number(values[i])
    const before = i === 0 ? 0 : offsets[i - 1]
    if (i === 0 && offset !== 0)
      refuseAt('INVALID_REQUEST', '/offsets/0', `offsets must begin with 0, not ${offset}`)
    if (offset < before)
      refuseAt('INVALID_REQUEST', `/offsets/${i}`, `offsets must not decrease; ${offset} follows ${before}`)
    if (offset > count)
      refuseAt('SHAPE_MISMATCH', `/offsets/${i}`, `offset ${offset} is behind the end of ${count} indices`)
    offsets[i] = offset
  }
  if (!includesLast) offsets[values.length] = count
  else if (offsets[values.length - 1] !== count) {
    refuseAt(
      'SHAPE_MISMATCH',
      `/offsets/${values.length - 1}`,
      `the last offset must be the number of indices, ${count}; it is ${offsets[values.length - 1]}`,
    )
  }
  return offsets
}

const checkWeights = (request: LookupRequest, operation: BagOperation): Float32Array | null => {
  const { weights } = request
  if (weights === undefined) return null
  if (operation === 'max')
    refuseAt(
      'INVALID_REQUEST',
      '/weights',
      'pooling max takes no weights: leave them out, or choose another pooling',
    )
  const { values, shape, lengths } = weights
  if (values.length !== request.indices.length) {
    refuseAt(
      'SHAPE_MISMATCH',
      '/weights',
      `there are ${values.length} weights for ${request.indices.length} indices; send one for each`,
    )
  }
  if (shape.length !== 1 && !nestAlike(weights, request))
    refuseAt('SHAPE_MISMATCH', '/weights', 'weights must be nested like the indices, or flat')
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
