/** Decodes the queries of an attend request, from JSON numbers or from a body of named arrays. */
import { refuse } from '../core/errors.ts'
import { suggestName } from '../core/suggest-name.ts'
import { findNamedArrays, type FormatName } from '../formats/format.ts'
import { pointerTo } from '../core/pointers.ts'
import { asFloat32 } from '../formats/index-array.ts'
import { type JsonTensor, toFloat32 } from '../formats/json-reader.ts'
import { quoteText } from '../formats/scanner.ts'
import type { AttendRequest } from './plan.ts'

type Queries = Pick<AttendRequest, 'queries' | 'shape'>

const PLACE = { errors: [{ pointer: '/queries', detail: 'is required' }] }

/** Reads the queries of a JSON body. Refuses INVALID_REQUEST, SHAPE_MISMATCH, NON_FINITE. */
export const fromJsonTensors = (tensors: ReadonlyMap<string, JsonTensor>): Queries => {
  const tensor = tensors.get('queries') ?? refuse('INVALID_REQUEST', 'the member queries is missing', PLACE)
  if (tensor.lengths !== undefined) {
    refuse('SHAPE_MISMATCH', 'the queries are not all of one length', {
      errors: [{ pointer: '/queries', detail: 'must have equal lengths' }],
    })
  }
  return { queries: toFloat32(tensor, '/queries'), shape: tensor.shape }
}

/**
 * Reads the queries of a body of named arrays, floating-point numbers of any width. Refuses MALFORMED_BODY,
 * INVALID_REQUEST, DTYPE_MISMATCH, NON_FINITE, and UNSUPPORTED_MEDIA_TYPE for a format whose arrays have no
 * names.
 */
export const fromNamedArrays = (format: FormatName, body: Buffer): Queries => {
  const tensors = findNamedArrays(format).read(body)
  for (const name of tensors.keys()) {
    if (name !== 'queries')
      refuse(
        'INVALID_REQUEST',
        `the body has a tensor ${quoteText(name)}${suggestName(name, ['queries']) || ';'} only queries is expected`,
      )
  }
  const { data, elementType, shape } =
    tensors.get('queries') ?? refuse('INVALID_REQUEST', 'the body has no tensor "queries"', PLACE)
  const queries = asFloat32(data, elementType)
  const bad = queries.findIndex((value) => !Number.isFinite(value))
  if (bad >= 0) {
    const pointer = `/queries${pointerTo(bad, shape)}`
    refuse('NON_FINITE', `${pointer} is not finite as float32`, {
      errors: [{ pointer, detail: 'is not finite as float32' }],
    })
  }
  return { queries, shape }
}
