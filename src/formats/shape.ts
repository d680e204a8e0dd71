/**
 * The types and the arithmetic that all formats share: arrays, the places of their bytes, and shapes. Sizes
 * that a client states are multiplied only here, so that no overflow goes unnoticed.
 */
import { refuse } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { ELEMENT_BYTES } from '../core/types.ts'
import type { ElementType } from '../core/types.ts'

/**
 * An array as it lies in a body: row-major, little-endian. `data` is a view of the body, possibly unaligned.
 */
export interface TypedBytes {
  elementType: ElementType
  shape: number[]
  data: Uint8Array
}

/** An array to be written. Its numbers are kept elsewhere. */
export interface NamedArray {
  name: string
  elementType: ElementType
  shape: readonly number[]
}

/** Some bytes of a body; `end` is the first byte after them. */
export interface ByteRange {
  begin: number
  end: number
}

/** How the numbers of an array lie, where that is not row by row and little-endian. */
export interface Arrangement {
  /** The first index changes fastest: a matrix lies column by column. */
  isColumnOrder?: boolean
  isBigEndian?: boolean
}

/** An array, and where in a body its bytes are. */
export interface ArrayPlace extends ByteRange, Arrangement {
  elementType: ElementType
  shape: number[]
}

/** An array of a kind that is not read here, beside others in its body. Only its bytes are checked. */
export interface UnreadArray extends ByteRange {
  /** The number of its axes. */
  rank: number
  /** Refuses the array, with the reason why it is not read. */
  refuse: () => never
}

/** The arrays of a body, and its metadata. */
export interface LocatedArrays {
  arrays: Map<string, ArrayPlace>
  /** The arrays that are not read here, by name. They are refused only when one of them is asked for. */
  unread: ReadonlyMap<string, UnreadArray>
  metadata: Map<string, string>
  /** The length of the whole body. */
  bodyBytes: number
}

/** The bytes around the numbers of a body. */
export interface Frame {
  head: Uint8Array
  tail: Uint8Array
}

/** The tail of a format that ends with its numbers. */
export const NO_BYTES = new Uint8Array(0)

/**
 * Whether every dimension is a whole number and their product is exact. A dimension of zero does not excuse
 * the others: [2**40, 2**40, 0] is not countable (NumPy and safetensors refuse it too), so that no part of a
 * shape can overflow later.
 */
export const isCountable = (shape: readonly number[]): boolean => {
  let product = 1
  return shape.every((dimension) => {
    product *= dimension === 0 ? 1 : dimension
    return Number.isSafeInteger(dimension) && dimension >= 0 && Number.isSafeInteger(product)
  })
}

/**
 * Counts the elements of a shape, exactly; 1 for a scalar. Refuses SHAPE_MISMATCH for an uncountable shape.
 */
export const elementCount = (shape: readonly number[]): number =>
  isCountable(shape) ? shape.reduce((product, dimension) => product * dimension, 1) : refuseSize(shape)

/** Counts the bytes of an array, exactly. Refuses as {@link elementCount}. */
export const arrayBytes = (elementType: ElementType, shape: readonly number[]): number => {
  const bytes = elementCount(shape) * ELEMENT_BYTES[elementType]
  return Number.isSafeInteger(bytes) ? bytes : refuseSize(shape)
}

/**
 * Refuses (SHAPE_MISMATCH) more than `arrayRankMax` dimensions. Readers call it before they append a
 * dimension, so that a long list is never built.
 */
export const checkRank = (rank: number): void => {
  if (rank > LIMITS.arrayRankMax)
    refuse('SHAPE_MISMATCH', `an array has at most ${LIMITS.arrayRankMax} dimensions`)
}

/** Prints a shape as headers and messages show it: `2,3,64`; a scalar is the empty string. */
export const formatShape = (shape: readonly number[]): string => shape.join(',')

/**
 * Views the bytes `begin`..`end`. The view is a plain Uint8Array even when `bytes` is a Buffer, whose `slice`
 * differs.
 */
export const viewBytes = (bytes: Uint8Array, begin: number, end: number): Uint8Array =>
  new Uint8Array(bytes.buffer, bytes.byteOffset + begin, end - begin)

const refuseSize = (shape: readonly number[]): never =>
  refuse(
    'SHAPE_MISMATCH',
    `the shape [${formatShape(shape)}] has more elements or bytes than can be counted (2^53 - 1)`,
  )
