/** Decodes the arrays of one lookup from its body: JSON numbers, or bytes in any format of the registry. */
import { refuse } from '../core/errors.ts'
import type { ElementType } from '../core/types.ts'
import { describesItself, findFormat, type FormatName, joinWords } from '../formats/format.ts'
import { quoteText } from '../formats/scanner.ts'
import { suggestName } from '../core/suggest-name.ts'
import { asFloat32, asIndexArray } from '../formats/index-array.ts'
import { type JsonTensor, toFloat32, toIndexArray } from '../formats/json-reader.ts'
import { parseShape } from '../formats/raw.ts'
import type { TypedBytes } from '../formats/shape.ts'
import type { LookupRequest } from './request.ts'

/** The facts that a body of ids alone cannot state. A body of named arrays states all of them. */
export interface IndicesQuery {
  /** A shape such as `2,3`; when absent the ids are flat. Only for bare numbers, like `index_dtype`. */
  shape?: string
  index_dtype?: ElementType
  /** A list such as `0,2,5`. */
  offsets?: string
  /** A list such as `0.5,1,2`. */
  weights?: string
}

/** The arrays that a lookup may have, by their names in a body of named arrays. */
const TENSORS = ['indices', 'offsets', 'weights']

/** The arrays of a lookup. */
export type LookupArrays = Omit<LookupRequest, 'options'>

/** The type of bare ids whose type the query does not state. */
const DEFAULT_INDEX_TYPE: ElementType = 'int32'

/**
 * The header that says how bare ids were read: neither their bytes nor their number show that int64 were
 * read as int32. Bodies that state their own type have none.
 */
export const indexHeaders = (name: FormatName, { index_dtype }: IndicesQuery): Record<string, string> =>
  describesItself(findFormat(name)) ? {} : { 'x-index-dtype': index_dtype ?? DEFAULT_INDEX_TYPE }

/**
 * Decodes the arrays of a binary lookup. Refuses MALFORMED_BODY, INVALID_REQUEST, SHAPE_MISMATCH,
 * DTYPE_MISMATCH.
 */
export const decodeIndices = (name: FormatName, body: Buffer, query: IndicesQuery): LookupArrays => {
  const format = findFormat(name)
  const { shape, index_dtype: elementType = DEFAULT_INDEX_TYPE, offsets, weights } = query
  if (describesItself(format) && (shape !== undefined || query.index_dtype !== undefined)) {
    refuse(
      'INVALID_REQUEST',
      'shape and index_dtype are for octet-stream bodies; this body contains them, so leave them out',
    )
  }
  if (format.carries === 'named arrays') {
    if (offsets !== undefined || weights !== undefined)
      refuse('INVALID_REQUEST', `offsets and weights must be tensors of a ${name} body, not query parameters`)
    return fromTypedTensors(format.read(body))
  }
  const array =
    format.carries === 'one array'
      ? format.read(body)
      : format.read(body, elementType, shape === undefined ? null : parseShape(shape))
  if (offsets === undefined && weights === undefined) return readIndices(array)
  return {
    ...readIndices(array),
    ...(offsets !== undefined && { offsets: toList(Float64Array.from(parseIntegers(offsets, 'offsets'))) }),
    ...(weights !== undefined && { weights: toList(Float32Array.from(parseNumbers(weights, 'weights'))) }),
  }
}

/**
 * Decodes the arrays of a lookup from tensors `indices`, `offsets` and `weights`. Refuses INVALID_REQUEST,
 * DTYPE_MISMATCH.
 */
export const fromTypedTensors = (tensors: ReadonlyMap<string, TypedBytes>): LookupArrays => {
  for (const name of tensors.keys()) {
    if (!TENSORS.includes(name))
      refuse(
        'INVALID_REQUEST',
        `the body has a tensor ${quoteText(name)}${suggestName(name, TENSORS) || ';'} ` +
          `only ${joinWords(TENSORS, 'and')} are expected`,
      )
  }
  const indices =
    tensors.get('indices') ?? refuse('INVALID_REQUEST', 'the body has no tensor "indices"', missing)
  const offsets = tensors.get('offsets')
  const weights = tensors.get('weights')
  return {
    ...readIndices(indices),
    ...(offsets && {
      offsets: {
        values: asIndexArray(offsets.data, checkType(offsets, 'offsets', INTEGER)),
        shape: offsets.shape,
      },
    }),
    ...(weights && {
      weights: {
        values: asFloat32(weights.data, checkType(weights, 'weights', FLOAT)),
        shape: weights.shape,
      },
    }),
  }
}

/** Decodes the arrays of a JSON lookup. Refuses INVALID_REQUEST, NON_FINITE. */
export const fromTensors = (tensors: ReadonlyMap<string, JsonTensor>): LookupArrays => {
  const indices =
    tensors.get('indices') ?? refuse('INVALID_REQUEST', 'the member indices is missing', missing)
  const offsets = tensors.get('offsets')
  const weights = tensors.get('weights')
  return {
    indices: toIndexArray(indices, '/indices'),
    ...nestingOf(indices),
    ...(offsets && { offsets: { values: toIndexArray(offsets, '/offsets'), ...nestingOf(offsets) } }),
    ...(weights && { weights: { values: toFloat32(weights, '/weights'), ...nestingOf(weights) } }),
  }
}

const nestingOf = ({ shape, lengths }: JsonTensor) => ({ shape, lengths })

const readIndices = ({ data, elementType, shape }: TypedBytes) => ({
  indices: asIndexArray(data, elementType),
  shape,
})

const toList = <Values extends { length: number }>(values: Values) => ({ values, shape: [values.length] })

const INTEGER = /^u?int/
const FLOAT = /float/

const checkType = ({ elementType }: TypedBytes, name: string, pattern: RegExp): ElementType => {
  if (pattern.test(elementType)) return elementType
  const kind = pattern === INTEGER ? 'integers' : 'floating-point numbers'
  const detail = `${name} must be ${kind}, not ${elementType}`
  return refuse('DTYPE_MISMATCH', detail, { errors: [{ pointer: `/${name}`, detail }] })
}

const missing = { errors: [{ pointer: '/indices', detail: 'is required' }] }

/** Lists of numbers in a query string: `0,2,5`; the empty string has none. Written as in JSON; no spaces. */

const NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/

const parseList = (
  text: string,
  name: string,
  wanted: string,
  isFit: (value: number) => boolean,
): number[] => {
  const parts = text === '' ? [] : text.split(',')
  return parts.map((part, i) => {
    const value = NUMBER.test(part) ? Number(part) : NaN
    if (isFit(value)) return value
    const detail = `expected ${wanted}, got ${JSON.stringify(part)}`
    return refuse('INVALID_REQUEST', `${name}: ${detail}`, { errors: [{ pointer: `/${name}/${i}`, detail }] })
  })
}

/** The numbers of query parameter `name`. Refuses INVALID_REQUEST with the place. */
export const parseNumbers = (text: string, name: string): number[] =>
  parseList(text, name, 'a number', (value) => !Number.isNaN(value))

/** The integers of query parameter `name`. Refuses INVALID_REQUEST with the place. */
export const parseIntegers = (text: string, name: string): number[] =>
  parseList(text, name, 'an integer', Number.isSafeInteger)
