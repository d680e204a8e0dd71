import { GatherdError, refuse } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { readSafetensors, writeSafetensorsHeader } from '../formats/safetensors.ts'
import type { TypedBytes } from '../formats/shape.ts'
import type { ResponseBuffer } from './buffers.ts'
import { fromTypedTensors } from './decode.ts'
import { type Answer, MEDIA_TYPES } from './encode.ts'
import type { LookupServices } from './lookup.ts'
import type { LookupOptions, LookupRequest } from './request.ts'
import { bytesShape, describeStored, splitStored } from './int8-rows.ts'

/** One of the lookups of a request: which table, which version, what. */
export interface NamedLookup {
  table: string
  version?: number
  request: LookupRequest
  /** The pointer to it in the request, for naming places. */
  pointer: string
}

/** The answers of several lookups as one. */
export interface TableAnswer {
  body: ResponseBuffer
  mediaType: string
}

/**
 * The lookups of a safetensors body: tensors `{table}/indices`, and `{table}/offsets`, `{table}/weights` to
 * pool. The options are the same for all. Refuses INVALID_REQUEST, DTYPE_MISMATCH.
 */
export const decodeNamedTensors = (body: Buffer, options: LookupOptions): NamedLookup[] => {
  const tables = new Map<string, Map<string, TypedBytes>>()
  for (const [name, tensor] of readSafetensors(body)) {
    const [table, member, ...rest] = name.split('/')
    if (member === undefined || rest.length > 0) {
      refuse(
        'INVALID_REQUEST',
        `tensor ${JSON.stringify(name)} is not expected; tensors are named {table}/indices`,
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
 * Runs each lookup by `run`, in order. The first failure is the whole request's, with the place of its lookup
 * before its own.
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

/** Runs `work`; the places that its refusal names are put below `pointer`. */
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

/** `{"results":[...]}` around JSON answers. */
export const joinJson = ({ buffers }: LookupServices, answers: readonly Answer[]): TableAnswer => {
  const parts = answers.flatMap(({ body }, i) => [i === 0 ? '{"results":[' : ',', body.bytes])
  if (answers.length === 0) parts.push('{"results":[')
  return { body: join(buffers, [...parts, ']}'], answers), mediaType: MEDIA_TYPES.json }
}

/**
 * Refuses INVALID_REQUEST for two lookups of one table: in safetensors their answers would have the same
 * name.
 */
export const refuseRepeatedTables = (lookups: readonly NamedLookup[]): void => {
  const seen = new Set<string>()
  for (const { table, pointer } of lookups) {
    if (seen.has(table)) {
      refuse(
        'INVALID_REQUEST',
        `table ${JSON.stringify(table)} is asked twice; safetensors can name it once`,
        {
          errors: [{ pointer: `${pointer}/table`, detail: 'is asked before' }],
        },
      )
    }
    seen.add(table)
  }
}

/** Tensors `{table}/embeddings` out of raw answers. */
export const joinTensors = (
  { buffers }: LookupServices,
  lookups: readonly NamedLookup[],
  answers: readonly Answer[],
): TableAnswer => {
  const tensors = answers.flatMap(({ shape, elementType }, i) =>
    elementType === 'uint8'
      ? describeStored(bytesShape(shape), `${lookups[i].table}/`)
      : [{ name: `${lookups[i].table}/embeddings`, elementType, shape: [...shape] }],
  )
  // A safetensors answer has nowhere else to say which state of each table it is about.
  const states = new Map(
    answers.flatMap(
      ({ version, sequence }, i) =>
        [
          [`${lookups[i].table}/version`, String(version)],
          [`${lookups[i].table}/sequence`, String(sequence)],
        ] as const,
    ),
  )
  const { header } = writeSafetensorsHeader(tensors, states)
  return {
    body: join(buffers, [header, ...answers.map(tensorBytes)], answers),
    mediaType: MEDIA_TYPES.safetensors,
  }
}

/** The bytes of a raw answer as those of its arrays. */
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
