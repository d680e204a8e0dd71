import { refuse } from '../core/errors.ts'
import type { ElementType } from '../core/types.ts'
import { writeNpyHeader } from '../formats/npy.ts'
import { formatShape } from '../formats/raw.ts'
import { writeSafetensorsHeader } from '../formats/safetensors.ts'
import type { Arena } from '../tables/arena.ts'
import type { ResponseBuffer, ResponseBuffers } from './buffers.ts'
import type { GatherResult } from './gather-result.ts'
import type { JsonKernels } from '../kernels/print-floats.ts'
import { printEmbeddings } from './print.ts'
import { describeStored, splitStored, storedShape } from './int8-rows.ts'

export type Encoding = 'json' | 'raw' | 'npy' | 'safetensors'

export const MEDIA_TYPES: Record<Encoding, string> = {
  json: 'application/json; charset=utf-8',
  raw: 'application/octet-stream',
  npy: 'application/x-npy',
  safetensors: 'application/x-safetensors',
}

/** An encoded answer. Its bytes are its own until they are released. */
export interface Answer {
  body: ResponseBuffer
  mediaType: string
  version: number
  sequence: number
  shape: readonly number[]
  elementType: ElementType
}

/** Refuses, before any work, what an encoding cannot carry. */
export const checkEncoding = (encoding: Encoding, elementType: ElementType, mask: boolean): void => {
  if (encoding === 'npy' && elementType === 'bfloat16') {
    refuse('NOT_ACCEPTABLE', 'npy cannot carry bfloat16; ask for application/x-safetensors')
  }
  if (encoding === 'npy' && elementType === 'uint8') {
    refuse(
      'NOT_ACCEPTABLE',
      'npy cannot carry int8 rows, which have a scale and a bias each; ask for application/x-safetensors',
    )
  }
  if (encoding === 'json' && elementType === 'uint8') {
    refuse(
      'DTYPE_MISMATCH',
      'JSON has numbers, not int8 rows: ask for application/x-safetensors, or for another dtype',
      {
        errors: [{ pointer: '/dtype', detail: 'native is not available as JSON of an int8 table' }],
      },
    )
  }
  if (mask && (encoding === 'npy' || encoding === 'raw')) {
    refuse('INVALID_REQUEST', 'a mask is answered in JSON and safetensors only', {
      errors: [{ pointer: '/mask', detail: `not available as ${MEDIA_TYPES[encoding]}` }],
    })
  }
}

/** Copies gathered rows out of the arena in the encoding that the client asked for. */
export const encodeAnswer = (
  gathered: GatherResult,
  encoding: Encoding,
  arena: Arena,
  buffers: ResponseBuffers,
  printer: JsonKernels,
): Answer => {
  const body =
    encoding === 'json'
      ? printEmbeddings({ arena, buffers, printer }, gathered)
      : copyOut(gathered, encoding, headerOf(gathered, encoding), arena, buffers)
  return describeAnswer(gathered, encoding, body)
}

/** An answer whose body is made. */
export const describeAnswer = (
  { version, sequence, shape, elementType }: GatherResult,
  encoding: Encoding,
  body: ResponseBuffer,
): Answer => ({
  body,
  mediaType: MEDIA_TYPES[encoding],
  version,
  sequence,
  shape: answerShape(encoding, elementType, shape),
  elementType,
})

/** The shape that an answer names: rows as they are stored have more bytes than numbers. */
export const answerShape = (
  encoding: Encoding,
  elementType: ElementType,
  shape: readonly number[],
): readonly number[] => (encoding === 'raw' && elementType === 'uint8' ? storedShape(shape) : shape)

const headerOf = (
  { shape, elementType, mask, byteCount, writeHead }: GatherResult,
  encoding: Exclude<Encoding, 'json'>,
): Uint8Array | null => {
  if (encoding === 'raw') return writeHead?.(byteCount) ?? null
  if (encoding === 'npy') return writeNpyHeader(elementType, [...shape])
  const tensors =
    elementType === 'uint8' ? describeStored(shape) : [{ name: 'embeddings', elementType, shape: [...shape] }]
  // A tensor has no rows of different length: the mask of ragged ids is flat.
  if (mask !== null)
    tensors.push({
      name: 'mask',
      elementType: 'uint8',
      shape: mask.lengths === undefined ? [...mask.shape] : [mask.bytes.length],
    })
  return writeSafetensorsHeader(tensors).header
}

const copyOut = (
  { rowsAt, byteCount, mask, elementType, shape }: GatherResult,
  encoding: Encoding,
  header: Uint8Array | null,
  arena: Arena,
  buffers: ResponseBuffers,
): ResponseBuffer => {
  const headerBytes = header?.length ?? 0
  const body = buffers.acquire(headerBytes + byteCount + (mask?.bytes.length ?? 0))
  if (header !== null) body.bytes.set(header)
  if (encoding === 'safetensors' && elementType === 'uint8') {
    const rows = arena.bytes.subarray(rowsAt, rowsAt + byteCount)
    splitStored(rows, shape[shape.length - 1], body.bytes.subarray(headerBytes, headerBytes + byteCount))
  } else arena.copyOut(rowsAt, byteCount, body.bytes, headerBytes)
  if (mask !== null) body.bytes.set(mask.bytes, headerBytes + byteCount)
  return body
}

/** The headers that describe a binary array to a client that sees only numbers. */
export const arrayHeaders = (answer: Pick<Answer, 'shape' | 'elementType'>): Record<string, string> => ({
  'x-shape': formatShape(answer.shape),
  'x-dtype': answer.elementType,
})
