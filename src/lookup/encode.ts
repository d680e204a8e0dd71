/**
 * Encodes the answer to a lookup: rows in the arena become JSON text, or numbers between the head and the
 * tail of a format.
 */
import { refuse } from '../core/errors.ts'
import type { ElementType } from '../core/types.ts'
import {
  findFormat,
  type FormatName,
  FORMATS,
  joinWords,
  listNamedArrayTypes,
  namedArraysNames,
  RAW,
} from '../formats/format.ts'
import { formatShape, type Frame, NO_BYTES } from '../formats/shape.ts'
import type { Arena } from '../tables/arena.ts'
import type { ResponseBuffer, ResponseBuffers } from './buffers.ts'
import { type GatherResult, printEmbeddings } from './print.ts'
import type { JsonKernels } from '../kernels/print-floats.ts'
import { describeMask } from './mask.ts'
import { describeStored, splitStored, storedShape } from './int8-rows.ts'

/** The encoding of an answer: JSON, or a format of the registry. */
export type Encoding = 'json' | FormatName

/** The Content-Type of each encoding. */
export const MEDIA_TYPES = Object.fromEntries([
  ['json', 'application/json; charset=utf-8'],
  ...FORMATS.map(({ name, mediaType }) => [name, mediaType]),
]) as Readonly<Record<Encoding, string>>

const NO_FRAME: Frame = { head: NO_BYTES, tail: NO_BYTES }

/** An encoded answer. Its bytes are not shared until they are released. */
export interface Answer {
  body: ResponseBuffer
  mediaType: string
  version: number
  sequence: number
  shape: readonly number[]
  elementType: ElementType
}

/** Refuses numbers or a mask that the encoding cannot carry. It is called before any work is done. */
export const checkEncoding = (encoding: Encoding, elementType: ElementType, mask: boolean): void => {
  if (encoding === 'json') {
    if (elementType !== 'uint8') return
    return refuse(
      'DTYPE_MISMATCH',
      `JSON has numbers, not int8 rows: ask for ${listNamedArrayTypes()}, or for another dtype`,
      {
        errors: [{ pointer: '/dtype', detail: 'native is not available as JSON of an int8 table' }],
      },
    )
  }
  const { carries, lacks, mediaType } = findFormat(encoding)
  if (elementType === 'bfloat16' && lacks.includes('bfloat16'))
    refuse('NOT_ACCEPTABLE', `${encoding} cannot carry bfloat16; ask for ${listNamedArrayTypes()}`)
  if (elementType === 'uint8' && lacks.includes('int8')) {
    refuse(
      'NOT_ACCEPTABLE',
      `${encoding} cannot carry int8 rows, which have a scale and a bias each; ` +
        `ask for ${listNamedArrayTypes()}`,
    )
  }
  if (mask && carries !== 'named arrays') {
    refuse(
      'INVALID_REQUEST',
      `a mask is answered in ${joinWords(['JSON', ...namedArraysNames()], 'and')} only`,
      {
        errors: [{ pointer: '/mask', detail: `not available as ${mediaType}` }],
      },
    )
  }
}

/** Copies gathered rows out of the arena in the encoding that the client requested. */
export const encodeAnswer = (
  gathered: GatherResult,
  encoding: Encoding,
  arena: Arena,
  buffers: ResponseBuffers,
  printer: JsonKernels,
): Answer => {
  let body: ResponseBuffer
  if (encoding === 'json') body = printEmbeddings({ arena, buffers, printer }, gathered)
  else if (encoding === RAW.name) body = copyNumbers(gathered, arena, buffers)
  else body = copyFramed(gathered, encoding, arena, buffers)
  return describeAnswer(gathered, encoding, body)
}

/** Describes an answer whose body has been made. */
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

/** Returns the shape that an answer states. int8 rows in one array include their scales and biases. */
export const answerShape = (
  encoding: Encoding,
  elementType: ElementType,
  shape: readonly number[],
): readonly number[] =>
  elementType === 'uint8' && encoding !== 'json' && findFormat(encoding).carries !== 'named arrays'
    ? storedShape(shape)
    : shape

/** Makes the bytes around the rows of an answer, and around the mask behind them. */
export const frameRows = (
  { shape, elementType, mask }: Pick<GatherResult, 'shape' | 'elementType' | 'mask'>,
  encoding: FormatName,
): Frame => {
  const format = findFormat(encoding)
  if (format.carries === 'numbers') return NO_FRAME
  const rows = { name: 'embeddings', elementType, shape: [...shape] }
  if (format.carries === 'one array') return format.frame(rows)
  const arrays = elementType === 'uint8' ? describeStored(shape) : [rows]
  if (mask !== null) arrays.push({ name: 'mask', ...describeMask(mask) })
  return format.frame(arrays)
}

/**
 * Copies bare numbers, the most frequent case. If the fast path requests a head of the HTTP answer, it goes
 * before them.
 */
const copyNumbers = (
  { rowsAt, byteCount, writeHead }: GatherResult,
  arena: Arena,
  buffers: ResponseBuffers,
): ResponseBuffer => {
  const head = writeHead?.(byteCount) ?? null
  const headBytes = head?.length ?? 0
  const body = buffers.acquire(headBytes + byteCount)
  if (head !== null) body.bytes.set(head)
  arena.copyOut(rowsAt, byteCount, body.bytes, headBytes)
  return body
}

const copyFramed = (
  gathered: GatherResult,
  encoding: FormatName,
  arena: Arena,
  buffers: ResponseBuffers,
): ResponseBuffer => {
  const { rowsAt, byteCount, mask, elementType, shape } = gathered
  const { head, tail } = frameRows(gathered, encoding)
  const maskBytes = mask?.bytes ?? NO_BYTES
  const maskAt = head.length + byteCount
  const tailAt = maskAt + maskBytes.length
  const body = buffers.acquire(tailAt + tail.length)
  body.bytes.set(head)
  if (elementType === 'uint8' && findFormat(encoding).carries === 'named arrays') {
    const rows = arena.bytes.subarray(rowsAt, rowsAt + byteCount)
    splitStored(rows, shape[shape.length - 1], body.bytes.subarray(head.length, maskAt))
  } else arena.copyOut(rowsAt, byteCount, body.bytes, head.length)
  body.bytes.set(maskBytes, maskAt)
  body.bytes.set(tail, tailAt)
  return body
}

/** The headers that describe a binary array to a client that gets only numbers. */
export const arrayHeaders = (answer: Pick<Answer, 'shape' | 'elementType'>): Record<string, string> => ({
  'x-shape': formatShape(answer.shape),
  'x-dtype': answer.elementType,
})
