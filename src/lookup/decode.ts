import { refuse } from '../core/errors.ts'
import type { ElementType } from '../core/types.ts'
import { asIndexArray } from '../formats/index-array.ts'
import { type JsonTensor, toIndexArray } from '../formats/json-reader.ts'
import { readNpy } from '../formats/npy.ts'
import { parseShape, readRaw } from '../formats/raw.ts'
import { readSafetensors } from '../formats/safetensors.ts'
import type { TypedBytes } from '../formats/shape.ts'
import type { LookupRequest } from './request.ts'

/** What an octet-stream body of ids does not say about itself. */
export interface RawIndices {
  /** `2,3`; absent: flat. */
  shape?: string
  index_dtype?: ElementType
}

type Indices = Pick<LookupRequest, 'indices' | 'shape'>

/** The ids of a binary lookup. Refuses MALFORMED_BODY, SHAPE_MISMATCH, DTYPE_MISMATCH. */
export const decodeIndices = (format: 'raw' | 'npy' | 'safetensors', body: Buffer, raw: RawIndices): Indices => {
  if (format !== 'raw' && (raw.shape !== undefined || raw.index_dtype !== undefined)) {
    refuse('INVALID_REQUEST', 'shape and index_dtype are for octet-stream bodies; this body carries them itself')
  }
  if (format === 'raw') {
    return fromTyped(readRaw(body, raw.index_dtype ?? 'int32', raw.shape === undefined ? null : parseShape(raw.shape)))
  }
  if (format === 'npy') return fromTyped(readNpy(body))
  const tensors = readSafetensors(body)
  const indices = tensors.get('indices') ?? refuse('INVALID_REQUEST', 'the body has no tensor "indices"', missing('/indices'))
  for (const name of tensors.keys()) {
    if (name !== 'indices') refuse('INVALID_REQUEST', `tensor ${JSON.stringify(name)} is not served by this version`, unexpected(name))
  }
  return fromTyped(indices)
}

/** The ids of a JSON lookup. Refuses INVALID_REQUEST, SHAPE_MISMATCH. */
export const fromTensors = (tensors: ReadonlyMap<string, JsonTensor>): Indices => {
  const tensor = tensors.get('indices') ?? refuse('INVALID_REQUEST', 'indices are missing', missing('/indices'))
  for (const name of tensors.keys()) {
    if (name !== 'indices') refuse('INVALID_REQUEST', `${name} need pooling, which is not served by this version`, unexpected(name))
  }
  if (tensor.lengths !== undefined) refuse('SHAPE_MISMATCH', 'ragged indices need pooling', missing('/indices'))
  return { indices: toIndexArray(tensor, '/indices'), shape: tensor.shape }
}

const fromTyped = ({ data, elementType, shape }: TypedBytes): Indices => {
  return { indices: asIndexArray(data, elementType), shape }
}

const missing = (pointer: string) => ({ errors: [{ pointer, detail: 'is required' }] })
const unexpected = (name: string) => ({ errors: [{ pointer: `/${name}`, detail: 'is not expected here' }] })
