/**
 * Looks rows up in several tables in one request: decodes the tensors of each lookup, and joins the answers
 * to one body.
 */
import { GatherdError, refuse } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { findNamedArrays, type FormatName, RAW } from '../formats/format.ts'
import { quoteText } from '../formats/scanner.ts'
import type { TypedBytes } from '../formats/shape.ts'
import type { TableEntry } from '../tables/registry.ts'
import type { TableReader } from '../tables/table-reader.ts'
import type { ResponseBuffer } from './buffers.ts'
import { fromTypedTensors } from './decode.ts'
import { type Answer, MEDIA_TYPES } from './encode.ts'
import { type LookupServices, prepareLookup, runLookup } from './lookup.ts'
import { computeMask, describeMask, type Mask } from './mask.ts'
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

/** An answer of bare numbers, and the mask that named arrays have beside them. */
export interface MaskedAnswer extends Answer {
  mask: Mask | null
}

/** The joined answer of several lookups. */
export interface TableAnswer {
  body: ResponseBuffer
  mediaType: string
}

/**
 * Reads the lookups of a body of named arrays: tensors `{table}/indices`, and `{table}/offsets`,
 * `{table}/weights` to pool. Options and version are the same for all. Refuses INVALID_REQUEST,
 * DTYPE_MISMATCH, and UNSUPPORTED_MEDIA_TYPE for a format whose arrays have no names.
 */
export const decodeNamedTensors = (
  format: FormatName,
  body: Buffer,
  { version, ...options }: LookupOptions & { version?: number },
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
  // The options are those of all lookups: one without offsets does not need this one if another does.
  const { include_last_offset: _, ...others } = options
  const areOffset = [...tables.values()].some((tensors) => tensors.has('offsets'))
  return Array.from(tables, ([table, tensors]) => {
    const pointer = `/${table}`
    const arrays = placeErrors(pointer, () => fromTypedTensors(tensors))
    const own = areOffset && arrays.offsets === undefined ? others : options
    return { table, version, request: { ...arrays, options: own }, pointer }
  })
}

/**
 * Looks rows up as bare numbers, for {@link joinTensors}. A mask is computed apart, because bare numbers have
 * no place for it. Refuses as `lookup` does.
 */
export const lookupNumbers = (
  services: LookupServices,
  entry: TableEntry,
  reader: TableReader,
  { options: { mask = false, ...options }, ...arrays }: LookupRequest,
): MaskedAnswer | Promise<MaskedAnswer> => {
  const planned = prepareLookup(entry, reader, { ...arrays, options }, RAW.name)
  const addMask = (answer: Answer): MaskedAnswer => ({
    ...answer,
    mask: mask ? computeMask(arrays, reader.handle.rows, planned.plan.paddingRow) : null,
  })
  const answer = runLookup(services, planned)
  return answer instanceof Promise ? answer.then(addMask) : addMask(answer)
}

/**
 * Runs each lookup by `run`, in order. The first failure fails the whole request; its pointers begin with the
 * pointer to its lookup.
 */
export const runLookups = async <One extends Answer>(
  lookups: readonly NamedLookup[],
  run: (lookup: NamedLookup) => One | Promise<One>,
): Promise<One[]> => {
  if (lookups.length > LIMITS.lookupTableCountMax) {
    refuse(
      'BATCH_TOO_LARGE',
      `${lookups.length} lookups in one request, the limit is ${LIMITS.lookupTableCountMax}`,
    )
  }
  const answers: One[] = []
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

/** Joins answers of bare numbers to tensors `{table}/embeddings`, and behind all of them `{table}/mask`. */
export const joinTensors = (
  { buffers }: LookupServices,
  lookups: readonly NamedLookup[],
  answers: readonly MaskedAnswer[],
  format: FormatName,
): TableAnswer => {
  const tensors = answers.flatMap(({ shape, elementType }, i) =>
    elementType === 'uint8'
      ? describeStored(bytesShape(shape), `${lookups[i].table}/`)
      : [{ name: `${lookups[i].table}/embeddings`, elementType, shape: [...shape] }],
  )
  const masks = answers.flatMap(({ mask }, i) => (mask === null ? [] : [{ mask, table: lookups[i].table }]))
  for (const { mask, table } of masks) tensors.push({ name: `${table}/mask`, ...describeMask(mask) })
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
    body: join(
      buffers,
      [head, ...answers.map(tensorBytes), ...masks.map(({ mask }) => mask.bytes), tail],
      answers,
    ),
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
