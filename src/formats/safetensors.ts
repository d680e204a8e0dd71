import { isUtf8 } from 'node:buffer'
import { assert } from '../core/assert.ts'
import { refuse } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { ElementType } from '../core/types.ts'
import { accept, expectToken, failAt, peek, quoteText, readWhole } from './scanner.ts'
import type { Cursor } from './scanner.ts'
import { arrayBytes, checkRank, formatShape, viewBytes } from './shape.ts'
import type { TypedBytes } from './shape.ts'

/*
 * Several named arrays in one body (huggingface/safetensors):
 *
 *     0      N, uint64
 *     8      N bytes of JSON: {"name": {"dtype", "shape", "data_offsets": [begin, end]}, .., "__metadata__"?: {string: string}}, spaces
 *     8 + N  the arrays, without gaps; offsets count from here
 *
 * Read with a scanner of its own: JSON.parse keeps the last of two equal names silently.
 */
const LENGTH_BYTES = 8
const METADATA = '__metadata__'
const PLAIN_STRING = /^"[^"\\\x00-\x1f]*"$/

const DTYPES: Record<ElementType, string> = {
  float64: 'F64',
  float32: 'F32',
  float16: 'F16',
  bfloat16: 'BF16',
  int8: 'I8',
  int16: 'I16',
  int32: 'I32',
  int64: 'I64',
  uint8: 'U8',
  uint16: 'U16',
  uint32: 'U32',
  uint64: 'U64',
  bool: 'BOOL',
}
const ELEMENT_TYPES = new Map(
  Object.entries(DTYPES).map(([elementType, dtype]) => [dtype, elementType as ElementType]),
)

/** Where the bytes of one array are, counted from the end of the header. */
export interface ByteRange {
  begin: number
  end: number
}

export interface TensorPlace extends ByteRange {
  elementType: ElementType
  shape: number[]
}

export interface SafetensorsHeader {
  /** In the order of the header, which need not be the order of the data. */
  tensors: Map<string, TensorPlace>
  metadata: Map<string, string>
  /** Where the data begins, from the start of the body. */
  dataAt: number
}

/**
 * Bytes from the start of the body to the data, or null while `prefix` has less than 8 bytes.
 * Refuses (MALFORMED_BODY) a header above `safetensorsHeaderBytesMax`, before anything of it is read.
 */
export const safetensorsHeaderBytes = (prefix: Uint8Array): number | null => {
  if (prefix.length < LENGTH_BYTES) return null
  const textBytes = new DataView(prefix.buffer, prefix.byteOffset, LENGTH_BYTES).getBigUint64(0, true)
  if (textBytes > LIMITS.safetensorsHeaderBytesMax) {
    refuse(
      'MALFORMED_BODY',
      `the safetensors header says it has ${textBytes} bytes; the limit is ${LIMITS.safetensorsHeaderBytesMax}`,
    )
  }
  return LENGTH_BYTES + Number(textBytes)
}

/**
 * Reads and checks the header. `headerBytes` holds all of it, and any part of the data; `bodyBytes` is the length of the whole body,
 * null when it is not known yet (the caller then compares the last `end` itself). MALFORMED_BODY for what is no safetensors
 * file; DTYPE_MISMATCH for dtypes that are not served; SHAPE_MISMATCH for uncountable shapes and too many dimensions.
 */
export const readSafetensorsHeader = (
  headerBytes: Uint8Array,
  bodyBytes: number | null,
): SafetensorsHeader => {
  const dataAt = safetensorsHeaderBytes(headerBytes)
  if (dataAt === null || headerBytes.length < dataAt) {
    const needed = dataAt ?? `at least ${LENGTH_BYTES}`
    return refuse(
      'MALFORMED_BODY',
      `the safetensors body ends inside its header: ${headerBytes.length} bytes, expected ${needed}`,
    )
  }
  const cursor: Cursor = { text: decodeText(headerBytes, dataAt), at: 0, what: 'the safetensors header' }
  if (!cursor.text.startsWith('{')) failAt(cursor, "'{'")
  const tensors = new Map<string, TensorPlace>()
  const metadata = new Map<string, string>()
  readMembers(cursor, (name) => {
    if (name === METADATA) readMembers(cursor, (key) => metadata.set(key, readString(cursor)))
    else tensors.set(name, readTensor(cursor, name))
  })
  while (cursor.text[cursor.at] === ' ') cursor.at += 1
  if (cursor.at < cursor.text.length) failAt(cursor, 'nothing but spaces')
  checkOffsets(tensors, bodyBytes === null ? null : bodyBytes - dataAt)
  return { tensors, metadata, dataAt }
}

/** Reads a whole body: each array as a view of it, by name. Refuses as {@link readSafetensorsHeader}. */
export const readSafetensors = (bytes: Uint8Array): Map<string, TypedBytes> => {
  const { tensors, dataAt } = readSafetensorsHeader(bytes, bytes.length)
  const arrays = new Map<string, TypedBytes>()
  for (const [name, { elementType, shape, begin, end }] of tensors) {
    arrays.set(name, { elementType, shape, data: viewBytes(bytes, dataAt + begin, dataAt + end) })
  }
  return arrays
}

/**
 * The header for these arrays, whose bytes follow in the same order without gaps: `ranges[i]` is where those of `tensors[i]` go, from
 * the end of the header. Spaces make the data begin at a multiple of 8; larger element types first keep every array aligned.
 * Names are distinct: who lets clients choose them checks that. `bodyBytes` is the length of header and data.
 */
export const writeSafetensorsHeader = (
  tensors: readonly { name: string; elementType: ElementType; shape: readonly number[] }[],
  metadata?: ReadonlyMap<string, string>,
): { header: Uint8Array; ranges: ByteRange[]; bodyBytes: number } => {
  assert(
    new Set(tensors.map(({ name }) => name).concat(METADATA)).size === tensors.length + 1,
    'tensor names are distinct',
  )
  // Built by hand: an object would move names like "7" to the HTTP worker, and "__proto__" out of sight.
  const members: string[] = []
  if (metadata !== undefined && metadata.size > 0) {
    const pairs = [...metadata].map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`)
    members.push(`"${METADATA}":{${pairs.join(',')}}`)
  }
  const ranges: ByteRange[] = []
  let end = 0
  for (const { name, elementType, shape } of tensors) {
    const begin = end
    end += arrayBytes(elementType, shape)
    ranges.push({ begin, end })
    const description = `{"dtype":"${DTYPES[elementType]}","shape":[${formatShape(shape)}],"data_offsets":[${begin},${end}]}`
    members.push(`${JSON.stringify(name)}:${description}`)
  }
  const text = Buffer.from(`{${members.join(',')}}`)
  const header = new Uint8Array(LENGTH_BYTES + Math.ceil(text.length / 8) * 8).fill(0x20)
  new DataView(header.buffer).setBigUint64(0, BigInt(header.length - LENGTH_BYTES), true)
  header.set(text, LENGTH_BYTES)
  return { header, ranges, bodyBytes: header.length + end }
}

const decodeText = (bytes: Uint8Array, dataAt: number): string => {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset + LENGTH_BYTES, dataAt - LENGTH_BYTES)
  return isUtf8(text)
    ? text.toString('utf8')
    : refuse('MALFORMED_BODY', 'the safetensors header is not UTF-8')
}

/** Reads one JSON object, calling `readMember` behind each colon. Keys are distinct, and at most as many as arrays are allowed. */
const readMembers = (cursor: Cursor, readMember: (key: string) => void): void => {
  const seen = new Set<string>()
  expectToken(cursor, '{')
  if (accept(cursor, '}')) return
  do {
    const key = readString(cursor)
    if (seen.has(key)) refuse('MALFORMED_BODY', `${cursor.what} has the name ${quoteText(key)} twice`)
    seen.add(key)
    // The metadata is not an array, and may be there besides.
    if (seen.size - Number(seen.has(METADATA)) > LIMITS.safetensorsTensorCountMax) {
      refuse('MALFORMED_BODY', `${cursor.what} has more than ${LIMITS.safetensorsTensorCountMax} names`)
    }
    expectToken(cursor, ':')
    readMember(key)
  } while (accept(cursor, ','))
  expectToken(cursor, '}')
}

const readTensor = (cursor: Cursor, name: string): TensorPlace => {
  const refuseTensor = (code: 'MALFORMED_BODY' | 'DTYPE_MISMATCH', what: string): never =>
    refuse(code, `the safetensors array ${quoteText(name)} ${what}`)
  const found: { dtype?: string; shape?: number[]; offsets?: ByteRange } = {}
  readMembers(cursor, (key) => {
    if (key === 'dtype') found.dtype = readString(cursor)
    else if (key === 'shape') found.shape = readShape(cursor)
    else if (key === 'data_offsets') found.offsets = readOffsets(cursor)
    else refuseTensor('MALFORMED_BODY', `has ${quoteText(key)}; known are dtype, shape and data_offsets`)
  })
  const { dtype, shape, offsets } = found
  if (dtype === undefined || shape === undefined || offsets === undefined) {
    return refuseTensor('MALFORMED_BODY', 'needs dtype, shape and data_offsets')
  }
  const elementType =
    ELEMENT_TYPES.get(dtype) ??
    refuseTensor(
      'DTYPE_MISMATCH',
      `has dtype ${quoteText(dtype)}; read are ${Object.values(DTYPES).join(' ')}`,
    )
  const { begin, end } = offsets
  const bytes = arrayBytes(elementType, shape)
  if (end - begin !== bytes) {
    refuseTensor(
      'MALFORMED_BODY',
      `takes ${bytes} bytes, but its data_offsets [${begin},${end}] hold ${end - begin}`,
    )
  }
  return { elementType, shape, begin, end }
}

const readString = (cursor: Cursor): string => {
  if (peek(cursor) !== '"') failAt(cursor, 'a string')
  let end = cursor.at + 1
  while (end < cursor.text.length && cursor.text[end] !== '"') end += cursor.text[end] === '\\' ? 2 : 1
  const value = unescapeString(cursor.text.slice(cursor.at, end + 1))
  // Half a surrogate pair would turn into U+FFFD on the way out, and two names into one.
  if (value === null || !value.isWellFormed()) return failAt(cursor, 'a JSON string')
  cursor.at = end + 1
  return value
}

/** The value of a JSON string with its quotes; null when it is none. Without escapes nothing is copied. */
const unescapeString = (literal: string): string | null => {
  if (PLAIN_STRING.test(literal)) return literal.slice(1, -1)
  try {
    return JSON.parse(literal) as string
  } catch {
    return null
  }
}

const readShape = (cursor: Cursor): number[] => {
  const shape: number[] = []
  expectToken(cursor, '[')
  if (accept(cursor, ']')) return shape
  do {
    checkRank(shape.length + 1)
    shape.push(readWhole(cursor))
  } while (accept(cursor, ','))
  expectToken(cursor, ']')
  return shape
}

const readOffsets = (cursor: Cursor): ByteRange => {
  expectToken(cursor, '[')
  const begin = readWhole(cursor)
  expectToken(cursor, ',')
  const end = readWhole(cursor)
  expectToken(cursor, ']')
  return { begin, end }
}

/** The arrays, in the order of their bytes, cover the data from its first to its last byte, each byte once. */
const checkOffsets = (tensors: ReadonlyMap<string, TensorPlace>, dataBytes: number | null): void => {
  const sorted = [...tensors].sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end)
  let covered = 0
  for (const [name, { begin, end }] of sorted) {
    if (begin !== covered) {
      refuse(
        'MALFORMED_BODY',
        `the bytes of the safetensors array ${quoteText(name)} begin at ${begin}, expected ${covered}`,
      )
    }
    covered = end
  }
  if (dataBytes !== null && covered !== dataBytes) {
    refuse(
      'MALFORMED_BODY',
      `the safetensors header announces ${covered} bytes of data, the body has ${dataBytes}`,
    )
  }
}
