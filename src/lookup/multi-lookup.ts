/**
 * Looks rows up in several tables in one request: decodes the tensors of each lookup, and joins the answers
 * to one body.
 */
import { GatherdError, refuse } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { findNamedArrays, type FormatName } from '../formats/format.ts'
import { quoteText } from '../formats/scanner.ts'
import type { TypedBytes } from '../formats/shape.ts'
import type { ResponseBuffer } from './buffers.ts'
import { fromTypedTensors } from './decode.ts'
import { type Answer, MEDIA_TYPES } from './encode.ts'
import type { LookupServices } from './lookup.ts'
import type { LookupOptions, LookupRequest } from './request.ts'
import { bytesShape, describeStored, splitStored } from './int8-rows.ts'

/** One of the lookups of a request: its table, its version and its ids. */
export interface NamedLookup {
  table: string
  version?: number
  request: LookupRequest
  /** The pointer to this lookup in the request, for errors. */
  pointer: string
}

/** The joined answer of several lookups. */
export interface TableAnswer {
  body: ResponseBuffer
  mediaType: string
}

/**
 * Reads the lookups of a body of named arrays: tensors `{table}/indices`, and `{table}/offsets`,
 * `{table}/weights` to pool. The options are the same for all. Refuses INVALID_REQUEST, DTYPE_MISMATCH, and
 * UNSUPPORTED_MEDIA_TYPE for a format whose arrays have no names.
 */
export const decodeNamedTensors = (
  format: FormatName,
  body: Buffer,
  options: LookupOptions,
): NamedLookup[] => {
  const tables = new Map<string, Map<string, TypedBytes>>()
  for (const [name, tensor] of findNamedArrays(format).read(body)) {
    const [table, member, ...rest] = name.split('/')
    if (member === undefined || rest.length > 0) {
      refuse(
        'INVALID_REQUEST',
        `tensor ${quoteText(name)} is not expected; tensors are named {table}/indices`,
      )
    }
    tables.set(table, (tables.get(table) ?? new Map<string, TypedBytes>()).set(member, tensor))
  }
  return Array.from(tables, ([table, tensors]) => {
    const pointer = `/${table}`
    return { table, request: { ...placeErrors(pointer, () => fromTypedTensors(tensors)), options }, pointer }
  })
}

/**
 * Runs each lookup by `run`, in order. The first failure fails the whole request; its pointers begin with the
 * pointer to its lookup.
 */
export const runLookups = async (
  lookups: readonly NamedLookup[],
  run: (lookup: NamedLookup) => Answer | Promise<Answer>,
): Promise<Answer[]> => {
  if (lookups.length > LIMITS.lookupTableCountMax) {
    refuse(
      'BATCH_TOO_LARGE',
      `${lookups.length} lookups in one request, the limit is ${LIMITS.lookupTableCountMax}`,
    )
  }
  const answers: Answer[] = []
  let byteCount = 0
  try {
    for (const lookup of lookups) {
      const answer = await run(lookup)
      answers.push(answer)
      byteCount += answer.body.bytes.length
      if (byteCount > LIMITS.lookupResponseBytesMax) {
        refuse(
          'BATCH_TOO_LARGE',
          `the answers hold more than ${LIMITS.lookupResponseBytesMax} bytes together`,
        )
      }
    }
    return answers
  } catch (error) {
    for (const { body } of answers) body.release()
    throw placeError(error, lookups[answers.length]?.pointer ?? '')
  }
}

/** Runs `work`. If it refuses, the places in its error are put below `pointer`. */
export const placeErrors = <Result>(pointer: string, work: () => Result): Result => {
  try {
    return work()
  } catch (error) {
    throw placeError(error, pointer)
  }
}

const placeError = (error: unknown, pointer: string): unknown => {
  if (!(error instanceof GatherdError)) return error
  const errors = error.errors?.map((place) => ({ ...place, pointer: pointer + place.pointer })) ?? [
    { pointer, detail: error.message },
  ]
  return new GatherdError(error.code, error.message, { errors, headers: error.headers })
}

/** Joins JSON answers to `{"results":[...]}`. */
export const joinJson = ({ buffers }: LookupServices, answers: readonly Answer[]): TableAnswer => {
  const parts = answers.flatMap(({ body }, i) => [i === 0 ? '{"results":[' : ',', body.bytes])
  if (answers.length === 0) parts.push('{"results":[')
  return { body: join(buffers, [...parts, ']}'], answers), mediaType: MEDIA_TYPES.json }
}

/**
 * Refuses (INVALID_REQUEST) two lookups of one table, because as named arrays their answers would have the
 * same name.
 */
export const refuseRepeatedTables = (lookups: readonly NamedLookup[], format: FormatName): void => {
  const seen = new Set<string>()
  for (const { table, pointer } of lookups) {
    if (seen.has(table)) {
      refuse(
        'INVALID_REQUEST',
        `table ${JSON.stringify(table)} is looked up twice; a ${format} answer can contain it once`,
        {
          errors: [{ pointer: `${pointer}/table`, detail: 'is looked up before' }],
        },
      )
    }
    seen.add(table)
  }
}

/** Joins answers of bare numbers to tensors `{table}/embeddings`. */
export const joinTensors = (
  { buffers }: LookupServices,
  lookups: readonly NamedLookup[],
  answers: readonly Answer[],
  format: FormatName,
): TableAnswer => {
  const tensors = answers.flatMap(({ shape, elementType }, i) =>
    elementType === 'uint8'
      ? describeStored(bytesShape(shape), `${lookups[i].table}/`)
      : [{ name: `${lookups[i].table}/embeddings`, elementType, shape: [...shape] }],
  )
  // The states are metadata, because the headers of the answer have no place for those of several tables.
  const states = new Map(
    answers.flatMap(
      ({ version, sequence }, i) =>
        [
          [`${lookups[i].table}/version`, String(version)],
          [`${lookups[i].table}/sequence`, String(sequence)],
        ] as const,
    ),
  )
  const { head, tail } = findNamedArrays(format).frame(tensors, states)
  return {
    body: join(buffers, [head, ...answers.map(tensorBytes), tail], answers),
    mediaType: MEDIA_TYPES[format],
  }
}

/** Returns the bytes of a raw answer in the order of its arrays. */
const tensorBytes = ({ body, shape, elementType }: Answer): Uint8Array => {
  if (elementType !== 'uint8') return body.bytes
  const split = Buffer.allocUnsafe(body.bytes.length)
  splitStored(body.bytes, bytesShape(shape)[shape.length - 1], split)
  return split
}

const join = (
  buffers: LookupServices['buffers'],
  parts: readonly (string | Uint8Array)[],
  answers: readonly Answer[],
): ResponseBuffer => {
  const pieces = parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : part))
  const joined = buffers.acquire(pieces.reduce((sum, piece) => sum + piece.length, 0))
  let at = 0
  for (const piece of pieces) {
    joined.bytes.set(piece, at)
    at += piece.length
  }
  for (const { body } of answers) body.release()
  return joined
}
