/**
 * The Python literal in the header of an npy body, and the element types that it names. Only the part of the
 * language that NumPy's own reader accepts in real files is read, and nothing is evaluated.
 */
import { refuse } from '../core/errors.ts'
import type { ElementType } from '../core/types.ts'
import { accept, expectToken, failAt, peek, quoteText, readWhole } from './scanner.ts'
import type { Cursor } from './scanner.ts'
import { checkRank } from './shape.ts'

/** The names of element types as NumPy writes them. */
export const DESCRIPTORS: Partial<Record<ElementType, string>> = {
  float64: '<f8',
  float32: '<f4',
  float16: '<f2',
  int8: '|i1',
  int16: '<i2',
  int32: '<i4',
  int64: '<i8',
  uint8: '|u1',
  uint16: '<u2',
  uint32: '<u4',
  uint64: '<u8',
  bool: '|b1',
}

/** The codes that may follow a byte order. Those of one letter are C types; long has 64 bits. */
const CODES: Partial<Record<ElementType, string>> = {
  float64: 'f8 d',
  float32: 'f4 f',
  float16: 'f2 e',
  int8: 'i1 b',
  int16: 'i2 h',
  int32: 'i4 i',
  int64: 'i8 l q p',
  uint8: 'u1 B',
  uint16: 'u2 H',
  uint32: 'u4 I',
  uint64: 'u8 L Q P',
  bool: 'b1 ?',
}

/** The names that stand alone, beside those of the API. */
const NAMES: Partial<Record<ElementType, string>> = {
  float64: 'float double',
  float32: 'single',
  float16: 'half',
  int8: 'byte',
  int16: 'short',
  int32: 'intc',
  int64: 'int long longlong intp',
  uint8: 'ubyte',
  uint16: 'ushort',
  uint32: 'uintc',
  uint64: 'uint ulong ulonglong uintp',
}

const indexWords = (words: Partial<Record<ElementType, string>>): Map<string, ElementType> =>
  new Map(
    Object.entries(words).flatMap(([elementType, text]) =>
      text.split(' ').map((word) => [word, elementType as ElementType] as const),
    ),
  )

const TYPES_BY_CODE = indexWords(CODES)
const TYPES_BY_NAME = new Map([
  ...indexWords(NAMES),
  ...Object.keys(DESCRIPTORS).map((name) => [name, name as ElementType] as const),
])

/** The content of a header. */
export interface NpyLiteral {
  elementType: ElementType
  isBigEndian: boolean
  isColumnOrder: boolean
  shape: number[]
}

/**
 * Reads the text of a header. `allowsLong`: a dimension may end with L, as Python 2 wrote it. Refuses
 * MALFORMED_BODY, DTYPE_MISMATCH for element types that are not served, and SHAPE_MISMATCH for too many
 * dimensions.
 */
export const readLiteral = (text: string, allowsLong: boolean): NpyLiteral => {
  const cursor: Cursor = { text, at: 0, what: 'the npy header' }
  const literal: Entries = {}
  expectToken(cursor, '{')
  while (!accept(cursor, '}')) {
    readEntry(cursor, literal, allowsLong)
    if (!accept(cursor, ',') && peek(cursor) !== '}') failAt(cursor, "',' or '}'")
  }
  if (peek(cursor) !== '') failAt(cursor, 'nothing but white space')
  const { descr, isColumnOrder, shape } = literal
  if (descr === undefined || isColumnOrder === undefined || shape === undefined) {
    return refuse('MALFORMED_BODY', "the npy header needs the keys 'descr', 'fortran_order' and 'shape'")
  }
  return { ...readDescriptor(descr), isColumnOrder, shape }
}

interface Entries {
  descr?: string
  isColumnOrder?: boolean
  shape?: number[]
}

/** Reads the name of an element type as `numpy.dtype` does: native byte order is little-endian here. */
const readDescriptor = (descr: string): Pick<NpyLiteral, 'elementType' | 'isBigEndian'> => {
  const order = '<>=|'.includes(descr[0] ?? ' ') ? descr[0] : ''
  const elementType = TYPES_BY_CODE.get(descr.slice(order.length)) ?? TYPES_BY_NAME.get(descr)
  if (elementType === undefined) return refuseDescriptor(descr)
  return { elementType, isBigEndian: order === '>' }
}

const readEntry = (cursor: Cursor, literal: Entries, allowsLong: boolean): void => {
  const keyAt = cursor.at
  const key = readQuoted(cursor)
  expectToken(cursor, ':')
  if (key === 'descr' && literal.descr === undefined) {
    if ('[({'.includes(peek(cursor) || ' ')) refuseDescriptor('a structure')
    literal.descr = readQuoted(cursor)
  } else if (key === 'fortran_order' && literal.isColumnOrder === undefined) {
    literal.isColumnOrder = accept(cursor, 'True')
    if (!literal.isColumnOrder && !accept(cursor, 'False')) failAt(cursor, 'True or False')
  } else if (key === 'shape' && literal.shape === undefined) {
    literal.shape = readTuple(cursor, allowsLong)
  } else {
    cursor.at = keyAt
    failAt(cursor, "each of the keys 'descr', 'fortran_order' and 'shape' once and no other")
  }
}

/** Reads a string; one of Python 2 may have a `u` before it. */
const readQuoted = (cursor: Cursor): string => {
  if (peek(cursor) === 'u') cursor.at += 1
  const quote = cursor.text.charAt(cursor.at)
  if (quote !== "'" && quote !== '"') failAt(cursor, 'a quoted string')
  const end = cursor.text.indexOf(quote, cursor.at + 1)
  if (end < 0) failAt(cursor, 'a string with an end')
  const value = cursor.text.slice(cursor.at + 1, end)
  cursor.at = end + 1
  return value
}

const readTuple = (cursor: Cursor, allowsLong: boolean): number[] => {
  const shape: number[] = []
  let comma = true
  expectToken(cursor, '(')
  while (!accept(cursor, ')')) {
    if (!comma) failAt(cursor, "',' or ')'")
    checkRank(shape.length + 1)
    shape.push(readWhole(cursor))
    if (allowsLong) accept(cursor, 'L')
    comma = accept(cursor, ',')
  }
  if (shape.length === 1 && !comma) failAt(cursor, "a comma behind the only dimension, as in '(5,)'")
  return shape
}

const refuseDescriptor = (descr: string): never => {
  const hint = /^[<|]V2$/.test(descr)
    ? '; bfloat16 cannot be carried by npy, use application/x-safetensors'
    : /^\|?O$/.test(descr)
      ? "; these are Python objects, convert them with array.astype('float32')"
      : ''
  const known = Object.values(DESCRIPTORS).join(' ')
  return refuse(
    'DTYPE_MISMATCH',
    `the npy array has elements of ${quoteText(descr)}; supported are ${known}${hint}`,
  )
}
