/**
 * One array in NumPy's file format (numpy.lib.format), versions 1.0 to 3.0:
 *
 *     0    "\x93NUMPY", major, minor
 *     8    length of the header text: uint16 in version 1, uint32 in 2 and 3
 *     ..   the header text: {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }, then spaces and
 *          '\n' up to a multiple of 64
 *     ..   the elements
 *
 * The header is a Python literal (npy-literal.ts). Column order and big-endian numbers are read too, because
 * NumPy writes an array as it lies in memory: that of a data frame lies column by column.
 */
import { refuse } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { ElementType } from '../core/types.ts'
import { arrangeRows, needsMoving } from './arrange-rows.ts'
import { nameContent } from './first-bytes.ts'
import { DESCRIPTORS, readLiteral } from './npy-literal.ts'
import { arrayBytes, NO_BYTES, viewBytes } from './shape.ts'
import type { ArrayPlace, Arrangement, Frame, NamedArray, TypedBytes } from './shape.ts'

const MAGIC = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59]
const VERSION_AT = 6
const LENGTH_AT = 8
const ALIGN = 64
/** The length of the prefix of a body that always contains the length of its header. */
export const NPY_PREFIX_BYTES = 12
/** NumPy leaves room for the first dimension to grow in place, up to the digits of 2^64. */
const GROWTH_DIGITS = 21

export interface NpyHeader extends Arrangement {
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
    const content = nameContent(prefix)
    const hint = content === undefined ? '' : `; ${content}`
    refuse('MALFORMED_BODY', `not an npy body: it does not begin with \\x93NUMPY${hint}`)
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
 * too many dimensions or uncountable shapes. The arrangement is absent where it makes no difference.
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
  // A suffix L, as Python 2 wrote it, is read where NumPy reads it.
  const { elementType, isBigEndian, isColumnOrder, shape } = readLiteral(text, bytes[VERSION_AT] < 3)
  const dataBytes = arrayBytes(elementType, shape)
  return {
    elementType,
    shape,
    dataAt,
    dataBytes,
    ...(isBigEndian && { isBigEndian }),
    ...(isColumnOrder && needsMoving(shape) && { isColumnOrder }),
  }
}

/**
 * Reads a whole body. Refuses as {@link readNpyHeader}, and with MALFORMED_BODY unless the elements fill the
 * body exactly.
 */
export const readNpy = (bytes: Uint8Array): TypedBytes => {
  const { elementType, shape, dataAt, dataBytes, ...arrangement } = readNpyHeader(bytes)
  if (bytes.length - dataAt !== dataBytes) {
    refuse(
      'MALFORMED_BODY',
      `the npy header announces ${dataBytes} bytes of elements, the body has ${bytes.length - dataAt}`,
    )
  }
  const data = arrangeRows(viewBytes(bytes, dataAt, bytes.length), elementType, shape, arrangement)
  return { elementType, shape, data }
}

/** Finds the array of a body by its header. Refuses as {@link readNpyHeader}. */
export const locateNpy = (headerBytes: Uint8Array): { array: ArrayPlace; bodyBytes: number } => {
  const { dataAt, dataBytes, ...array } = readNpyHeader(headerBytes)
  const bodyBytes = dataAt + dataBytes
  return { array: { ...array, begin: dataAt, end: bodyBytes }, bodyBytes }
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
