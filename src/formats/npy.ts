/**
 * One array in NumPy's file format (numpy.lib.format), versions 1.0 to 3.0:
 *
 *     0    "\x93NUMPY", major, minor
 *     8    length of the header text: uint16 in version 1, uint32 in 2 and 3
 *     ..   the header text: {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }, then spaces and
 *          '\n' up to a multiple of 64
 *     ..   the elements
 *
 * The header is a Python literal. Only a fixed part of that language is read, and nothing is evaluated.
 */
import { refuse } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { ElementType } from '../core/types.ts'
import { accept, expectToken, failAt, peek, quoteText, readWhole } from './scanner.ts'
import type { Cursor } from './scanner.ts'
import { arrayBytes, checkRank, NO_BYTES, viewBytes } from './shape.ts'
import type { ArrayPlace, Frame, NamedArray, TypedBytes } from './shape.ts'

const MAGIC = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59]
const VERSION_AT = 6
const LENGTH_AT = 8
const ALIGN = 64
/** The length of the prefix of a body that always contains the length of its header. */
export const NPY_PREFIX_BYTES = 12
/** NumPy leaves room for the first dimension to grow in place, up to the digits of 2^64. */
const GROWTH_DIGITS = 21

const DESCRIPTORS: Partial<Record<ElementType, string>> = {
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
const ELEMENT_TYPES = new Map(
  Object.entries(DESCRIPTORS).map(([elementType, descr]) => [descr, elementType as ElementType]),
)
// A single byte has no byte order, but writers outside Python (cnpy) put '<' before it.
for (const kind of ['i1', 'u1', 'b1']) ELEMENT_TYPES.set(`<${kind}`, ELEMENT_TYPES.get(`|${kind}`)!)

export interface NpyHeader {
  elementType: ElementType
  shape: number[]
  /** The place of the first element, from the start of the body. */
  dataAt: number
  /** The bytes of all elements. */
  dataBytes: number
}

/** Whether a file that begins with `prefix` is npy. */
export const looksLikeNpy = (prefix: Uint8Array): boolean =>
  MAGIC.every((byte, index) => prefix[index] === byte)

/**
 * Returns the bytes from the start of the body to the first element, or null while `prefix` is too short to
 * say (12 bytes are always enough). Refuses (MALFORMED_BODY) a wrong magic or version and a header above
 * `npyHeaderBytesMax` as soon as it is visible.
 */
export const npyHeaderBytes = (prefix: Uint8Array): number | null => {
  if (!MAGIC.every((byte, index) => index >= prefix.length || prefix[index] === byte)) {
    refuse('MALFORMED_BODY', 'not an npy body: it does not begin with \\x93NUMPY')
  }
  const [major, minor] = prefix.subarray(VERSION_AT, LENGTH_AT)
  if (major < 1 || major > 3 || minor > 0) {
    refuse('MALFORMED_BODY', `npy version ${major}.${minor ?? '?'} is not supported; 1.0, 2.0 and 3.0 are`)
  }
  const textAt = LENGTH_AT + (major === 1 ? 2 : 4)
  if (prefix.length < textAt) return null
  const view = new DataView(prefix.buffer, prefix.byteOffset, prefix.byteLength)
  const textBytes = major === 1 ? view.getUint16(LENGTH_AT, true) : view.getUint32(LENGTH_AT, true)
  if (textBytes > LIMITS.npyHeaderBytesMax) {
    refuse(
      'MALFORMED_BODY',
      `the npy header says it has ${textBytes} bytes; the limit is ${LIMITS.npyHeaderBytesMax}`,
    )
  }
  return textAt + textBytes
}

/**
 * Reads the header. `bytes` holds all of it, and any part of the elements. Refuses MALFORMED_BODY for bytes
 * that are not an npy header, DTYPE_MISMATCH for element types that are not served, and SHAPE_MISMATCH for
 * column order, too many dimensions or uncountable shapes.
 */
export const readNpyHeader = (bytes: Uint8Array): NpyHeader => {
  const dataAt = npyHeaderBytes(bytes)
  if (dataAt === null || bytes.length < dataAt) {
    return refuse(
      'MALFORMED_BODY',
      `the npy body ends inside its header: ${bytes.length} bytes, expected ${dataAt ?? 'at least 12'}`,
    )
  }
  const textAt = LENGTH_AT + (bytes[VERSION_AT] === 1 ? 2 : 4)
  const text = Buffer.from(bytes.buffer, bytes.byteOffset + textAt, dataAt - textAt).toString('latin1')
  const { descr, fortranOrder, shape } = readLiteral({ text, at: 0, what: 'the npy header' })
  const elementType = ELEMENT_TYPES.get(descr) ?? refuseDescriptor(descr)
  if (fortranOrder && shape.length >= 2) {
    refuse(
      'SHAPE_MISMATCH',
      'the npy array is in column order (fortran_order); save np.ascontiguousarray(array) instead',
    )
  }
  return { elementType, shape, dataAt, dataBytes: arrayBytes(elementType, shape) }
}

/**
 * Reads a whole body. Refuses as {@link readNpyHeader}, and with MALFORMED_BODY unless the elements fill the
 * body exactly.
 */
export const readNpy = (bytes: Uint8Array): TypedBytes => {
  const { elementType, shape, dataAt, dataBytes } = readNpyHeader(bytes)
  if (bytes.length - dataAt !== dataBytes) {
    refuse(
      'MALFORMED_BODY',
      `the npy header announces ${dataBytes} bytes of elements, the body has ${bytes.length - dataAt}`,
    )
  }
  return { elementType, shape, data: viewBytes(bytes, dataAt, bytes.length) }
}

/** Finds the array of a body by its header. Refuses as {@link readNpyHeader}. */
export const locateNpy = (headerBytes: Uint8Array): { array: ArrayPlace; bodyBytes: number } => {
  const { elementType, shape, dataAt, dataBytes } = readNpyHeader(headerBytes)
  const bodyBytes = dataAt + dataBytes
  return { array: { elementType, shape, begin: dataAt, end: bodyBytes }, bodyBytes }
}

/** Frames one array. npy has no place for its name. Refuses as {@link writeNpyHeader}. */
export const frameNpy = ({ elementType, shape }: Omit<NamedArray, 'name'>): Frame => ({
  head: writeNpyHeader(elementType, shape),
  tail: NO_BYTES,
})

/**
 * Makes the header that NumPy 2 writes (np.save) for an array in row order, byte for byte. Refuses
 * NOT_ACCEPTABLE for bfloat16, which npy lacks.
 */
export const writeNpyHeader = (elementType: ElementType, shape: readonly number[]): Uint8Array => {
  const descr =
    DESCRIPTORS[elementType] ??
    refuse(
      'NOT_ACCEPTABLE',
      `npy cannot carry ${elementType}; ask for application/x-safetensors or another dtype`,
    )
  const tuple = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(', ')})`
  const growth = shape.length === 0 ? '' : ' '.repeat(GROWTH_DIGITS - String(shape[0]).length)
  const literal = `{'descr': '${descr}', 'fortran_order': False, 'shape': ${tuple}, }${growth}`
  const textAt = LENGTH_AT + 2
  // NumPy adds a whole block of spaces when none is missing.
  const padding = ALIGN - ((textAt + literal.length + 1) % ALIGN)
  const header = Buffer.alloc(textAt + literal.length + padding + 1, ' ')
  header.set([...MAGIC, 1, 0])
  header.writeUInt16LE(header.length - textAt, LENGTH_AT)
  header.write(literal, textAt, 'latin1')
  header.write('\n', header.length - 1, 'latin1')
  return viewBytes(header, 0, header.length)
}

interface Literal {
  descr: string
  fortranOrder: boolean
  shape: number[]
}

const readLiteral = (cursor: Cursor): Literal => {
  const literal: Partial<Literal> = {}
  expectToken(cursor, '{')
  while (!accept(cursor, '}')) {
    readEntry(cursor, literal)
    if (!accept(cursor, ',') && peek(cursor) !== '}') failAt(cursor, "',' or '}'")
  }
  if (peek(cursor) !== '') failAt(cursor, 'nothing but white space')
  const { descr, fortranOrder, shape } = literal
  if (descr === undefined || fortranOrder === undefined || shape === undefined) {
    return refuse('MALFORMED_BODY', "the npy header needs the keys 'descr', 'fortran_order' and 'shape'")
  }
  return { descr, fortranOrder, shape }
}

const readEntry = (cursor: Cursor, literal: Partial<Literal>): void => {
  const keyAt = cursor.at
  const key = readQuoted(cursor)
  expectToken(cursor, ':')
  if (key === 'descr' && literal.descr === undefined) {
    if ('[({'.includes(peek(cursor) || ' ')) refuseDescriptor('a structure')
    literal.descr = readQuoted(cursor)
  } else if (key === 'fortran_order' && literal.fortranOrder === undefined) {
    literal.fortranOrder = accept(cursor, 'True')
    if (!literal.fortranOrder && !accept(cursor, 'False')) failAt(cursor, 'True or False')
  } else if (key === 'shape' && literal.shape === undefined) {
    literal.shape = readTuple(cursor)
  } else {
    cursor.at = keyAt
    failAt(cursor, "each of the keys 'descr', 'fortran_order' and 'shape' once and no other")
  }
}

const readQuoted = (cursor: Cursor): string => {
  const quote = peek(cursor)
  if (quote !== "'" && quote !== '"') failAt(cursor, 'a quoted string')
  const end = cursor.text.indexOf(quote, cursor.at + 1)
  if (end < 0) failAt(cursor, 'a string with an end')
  const value = cursor.text.slice(cursor.at + 1, end)
  cursor.at = end + 1
  return value
}

const readTuple = (cursor: Cursor): number[] => {
  const shape: number[] = []
  let comma = true
  expectToken(cursor, '(')
  while (!accept(cursor, ')')) {
    if (!comma) failAt(cursor, "',' or ')'")
    checkRank(shape.length + 1)
    shape.push(readWhole(cursor))
    comma = accept(cursor, ',')
  }
  if (shape.length === 1 && !comma) failAt(cursor, "a comma behind the only dimension, as in '(5,)'")
  return shape
}

const refuseDescriptor = (descr: string): never => {
  const hint = /^[<|]V2$/.test(descr)
    ? '; bfloat16 cannot be carried by npy, use application/x-safetensors'
    : descr.startsWith('>')
      ? "; it is big-endian, convert it with array.astype(array.dtype.newbyteorder('<'))"
      : ''
  const known = Object.values(DESCRIPTORS).join(' ')
  return refuse(
    'DTYPE_MISMATCH',
    `the npy array has elements of ${quoteText(descr)}; supported are ${known}${hint}`,
  )
}
