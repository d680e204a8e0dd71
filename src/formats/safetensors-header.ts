/**
 * The JSON text in the header of a safetensors body:
 *
 *     {"name": {"dtype", "shape", "data_offsets": [begin, end]}, .., "__metadata__"?: {string: string}}
 *
 * It has a scanner of its own, because JSON.parse silently keeps the last of two equal names.
 */
import { refuse } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { ElementType } from '../core/types.ts'
import { accept, expectToken, failAt, peek, quoteText, readWhole } from './scanner.ts'
import type { Cursor } from './scanner.ts'
import { skipJson } from './skip-json.ts'
import { arrayBytes, formatShape } from './shape.ts'
import type { ArrayPlace, ByteRange, NamedArray, UnreadArray } from './shape.ts'

/** The member of the header that is no array. */
export const METADATA = '__metadata__'
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

/** The content of a header. Ranges are counted from its end. */
export interface HeaderText {
  /** In the order of the header, which need not be the order of the data. */
  tensors: Map<string, ArrayPlace>
  /** The tensors of a dtype or shape that is not read here. */
  unread: Map<string, UnreadArray>
  metadata: Map<string, string>
}

/**
 * Reads the whole text, with at most `nameCountMax` tensors. Refuses MALFORMED_BODY. What the library ignores
 * is ignored: unknown members of a tensor, metadata of null, and white space around the object.
 */
export const readHeaderText = (text: string, nameCountMax: number): HeaderText => {
  const cursor: Cursor = { text, at: 0, what: 'the safetensors header' }
  const tensors = new Map<string, ArrayPlace>()
  const unread = new Map<string, UnreadArray>()
  const metadata = new Map<string, string>()
  readMembers(cursor, nameCountMax, (name) => {
    if (name === METADATA) readMetadata(cursor, nameCountMax, metadata)
    else {
      const tensor = readTensor(cursor, name)
      if ('refuse' in tensor) unread.set(name, tensor)
      else tensors.set(name, tensor)
    }
  })
  if (peek(cursor) !== '') failAt(cursor, 'nothing but white space')
  return { tensors, unread, metadata }
}

const readMetadata = (cursor: Cursor, nameCountMax: number, metadata: Map<string, string>): void => {
  if (accept(cursor, 'null')) return
  readMembers(cursor, nameCountMax, (key) => metadata.set(key, readString(cursor)))
}

/**
 * Prints the text for arrays whose bytes are at `ranges`. It is built by hand, because an object would move
 * names like "7" to the beginning and lose "__proto__".
 */
export const printHeaderText = (
  arrays: readonly NamedArray[],
  ranges: readonly ByteRange[],
  metadata?: ReadonlyMap<string, string>,
): string => {
  const members: string[] = []
  if (metadata !== undefined && metadata.size > 0) {
    const pairs = [...metadata].map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`)
    members.push(`"${METADATA}":{${pairs.join(',')}}`)
  }
  for (const [index, { name, elementType, shape }] of arrays.entries()) {
    const { begin, end } = ranges[index]
    const facts = `"dtype":"${DTYPES[elementType]}","shape":[${formatShape(shape)}]`
    members.push(`${JSON.stringify(name)}:{${facts},"data_offsets":[${begin},${end}]}`)
  }
  return `{${members.join(',')}}`
}

/**
 * Reads one JSON object and calls `readMember` after each colon. Refuses a key that occurs twice, and more
 * keys than a body may have arrays.
 */
const readMembers = (cursor: Cursor, nameCountMax: number, readMember: (key: string) => void): void => {
  const seen = new Set<string>()
  expectToken(cursor, '{')
  if (accept(cursor, '}')) return
  do {
    const key = readString(cursor)
    if (seen.has(key)) refuse('MALFORMED_BODY', `${cursor.what} has the name ${quoteText(key)} twice`)
    seen.add(key)
    // The metadata is not an array, and does not count.
    if (seen.size - Number(seen.has(METADATA)) > nameCountMax)
      refuse('MALFORMED_BODY', `${cursor.what} has more than ${nameCountMax} names`)
    expectToken(cursor, ':')
    readMember(key)
  } while (accept(cursor, ','))
  expectToken(cursor, '}')
}

/** Members of a tensor that are not known here are skipped, and no more than these. */
const MEMBER_COUNT_MAX = 64

interface TensorMembers {
  dtype?: string
  shape?: number[]
  offsets?: ByteRange
}

const readTensor = (cursor: Cursor, name: string): ArrayPlace | UnreadArray => {
  const members: TensorMembers = {}
  readMembers(cursor, MEMBER_COUNT_MAX, (key) => {
    if (key === 'dtype') members.dtype = readString(cursor)
    else if (key === 'shape') members.shape = readShape(cursor)
    else if (key === 'data_offsets') members.offsets = readOffsets(cursor)
    else skipJson(cursor, readString)
  })
  const { dtype, shape, offsets } = members
  if (dtype === undefined || shape === undefined || offsets === undefined)
    return refuseTensor('MALFORMED_BODY', name, 'needs dtype, shape and data_offsets')
  const { begin, end } = offsets
  if (begin > end || !Number.isSafeInteger(end))
    return refuseTensor('MALFORMED_BODY', name, `has the data_offsets [${begin},${end}]`)
  const elementType = ELEMENT_TYPES.get(dtype)
  const reason =
    elementType === undefined
      ? `has dtype ${quoteText(dtype)}; supported are ${Object.values(DTYPES).join(' ')}`
      : shape.length > LIMITS.arrayRankMax
        ? `has ${shape.length} dimensions; an array has at most ${LIMITS.arrayRankMax}`
        : undefined
  if (elementType === undefined || reason !== undefined) {
    const code = elementType === undefined ? 'DTYPE_MISMATCH' : 'SHAPE_MISMATCH'
    return { begin, end, rank: shape.length, refuse: () => refuseTensor(code, name, reason ?? '') }
  }
  const bytes = arrayBytes(elementType, shape)
  if (end - begin !== bytes) {
    return refuseTensor(
      'MALFORMED_BODY',
      name,
      `takes ${bytes} bytes, but its data_offsets [${begin},${end}] hold ${end - begin}`,
    )
  }
  return { elementType, shape, begin, end }
}

const refuseTensor = (
  code: 'MALFORMED_BODY' | 'DTYPE_MISMATCH' | 'SHAPE_MISMATCH',
  name: string,
  what: string,
): never => refuse(code, `the safetensors array ${quoteText(name)} ${what}`)

const readString = (cursor: Cursor): string => {
  if (peek(cursor) !== '"') failAt(cursor, 'a string')
  let end = cursor.at + 1
  while (end < cursor.text.length && cursor.text[end] !== '"') end += cursor.text[end] === '\\' ? 2 : 1
  const value = unescapeString(cursor.text.slice(cursor.at, end + 1))
  // An unpaired surrogate is written as U+FFFD, so that two different names could become one.
  if (value === null || !value.isWellFormed()) return failAt(cursor, 'a JSON string')
  cursor.at = end + 1
  return value
}

/**
 * Returns the value of a JSON string with its quotes, or null when the text is none. A string without escapes
 * needs no parser.
 */
const unescapeString = (literal: string): string | null => {
  if (PLAIN_STRING.test(literal)) return literal.slice(1, -1)
  try {
    return JSON.parse(literal) as string
  } catch {
    return null
  }
}

/** A shape that is longer than any library makes one is damage. */
const AXES_COUNT_MAX = 64

const readShape = (cursor: Cursor): number[] => {
  const shape: number[] = []
  expectToken(cursor, '[')
  if (accept(cursor, ']')) return shape
  do {
    if (shape.length === AXES_COUNT_MAX)
      refuse('SHAPE_MISMATCH', `${cursor.what} has a shape of more than ${AXES_COUNT_MAX} dimensions`)
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
