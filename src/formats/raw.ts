/**
 * The format of bare numbers: little-endian, row-major, without a header. Their type and shape are not in the
 * body.
 */
import { refuse } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { ELEMENT_BYTES } from '../core/types.ts'
import type { ElementType } from '../core/types.ts'
import { quoteText } from './scanner.ts'
import { elementCount, formatShape, isCountable, viewBytes } from './shape.ts'
import type { TypedBytes } from './shape.ts'

export { formatShape }

/**
 * Reads a whole body. With a `shape` of null the result has one dimension. Refuses MALFORMED_BODY when the
 * body ends inside a number, and SHAPE_MISMATCH when it does not have as many numbers as the shape.
 */
export const readRaw = (
  bytes: Uint8Array,
  elementType: ElementType,
  shape: readonly number[] | null,
): TypedBytes => {
  const elementBytes = ELEMENT_BYTES[elementType]
  if (bytes.length % elementBytes !== 0) {
    refuse(
      'MALFORMED_BODY',
      `a body of ${bytes.length} bytes is not a whole number of ${elementType} (${elementBytes} bytes each)`,
    )
  }
  const count = bytes.length / elementBytes
  if (shape !== null && elementCount(shape) !== count) {
    refuse(
      'SHAPE_MISMATCH',
      `the body has ${count} ${elementType}, the shape [${formatShape(shape)}] has ${elementCount(shape)}`,
    )
  }
  return {
    elementType,
    shape: shape === null ? [count] : [...shape],
    data: viewBytes(bytes, 0, bytes.length),
  }
}

/**
 * Reads the query parameter `shape`, such as `2,3,64`; the empty string is a scalar. Refuses INVALID_REQUEST
 * for anything else, for more than `indexRankMax` dimensions, and for shapes whose elements cannot be
 * counted.
 */
export const parseShape = (text: string): number[] => {
  const parts = text === '' ? [] : text.split(',', LIMITS.indexRankMax + 1)
  if (parts.length > LIMITS.indexRankMax)
    refuse('INVALID_REQUEST', `shape has more than ${LIMITS.indexRankMax} dimensions`)
  if (!parts.every((part) => /^(0|[1-9][0-9]*)$/.test(part))) {
    refuse(
      'INVALID_REQUEST',
      `shape must be whole numbers with commas between, as in 2,3,64; it is ${quoteText(text)}`,
    )
  }
  const shape = parts.map(Number)
  if (!isCountable(shape))
    refuse('INVALID_REQUEST', `the shape ${quoteText(text)} has more elements than can be counted (2^53 - 1)`)
  return shape
}
