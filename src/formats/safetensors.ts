/**
 * Several named arrays in one body (huggingface/safetensors):
 *
 *     0      N, uint64
 *     8      N bytes of JSON (safetensors-header.ts), padded with spaces
 *     8 + N  the arrays, without gaps; offsets count from here
 */
import { isUtf8 } from 'node:buffer'
import { assert } from '../core/assert.ts'
import { refuse } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { nameContent, recogniseContent } from './first-bytes.ts'
import { METADATA, printHeaderText, readHeaderText } from './safetensors-header.ts'
import type { HeaderText } from './safetensors-header.ts'
import { quoteText } from './scanner.ts'
import { arrayBytes, NO_BYTES, viewBytes } from './shape.ts'
import type { ByteRange, Frame, LocatedArrays, NamedArray, TypedBytes } from './shape.ts'

const LENGTH_BYTES = 8

/** The length of the prefix of a body that contains the length of its header. */
export const SAFETENSORS_PREFIX_BYTES = LENGTH_BYTES

/** A header that was read. Ranges are counted from `dataAt`. */
export interface SafetensorsHeader extends HeaderText {
  /** The place of the data, from the start of the body. */
  dataAt: number
}

/** Whether a file that begins with `prefix` may be safetensors: eight bytes of length, then JSON. */
export const looksLikeSafetensors = (prefix: Uint8Array): boolean =>
  recogniseContent(prefix)?.kind === 'safetensors'

/**
 * Returns the bytes from the start of the body to the data, or null while `prefix` has less than 8 bytes.
 * Refuses (MALFORMED_BODY) a header above `safetensorsHeaderBytesMax` before anything of it is read.
 */
export const safetensorsHeaderBytes = (prefix: Uint8Array): number | null => {
  if (prefix.length < LENGTH_BYTES) return null
  const textBytes = new DataView(prefix.buffer, prefix.byteOffset, LENGTH_BYTES).getBigUint64(0, true)
  const limit = LIMITS.safetensorsHeaderBytesMax
  if (textBytes > limit) {
    const content = nameContent(prefix)
    const hint = content === undefined ? '' : `; this is no safetensors body: ${content}`
    refuse(
      'MALFORMED_BODY',
      `the safetensors header says it has ${textBytes} bytes; the limit is ${limit}${hint}`,
    )
  }
  return LENGTH_BYTES + Number(textBytes)
}

/**
 * Reads and checks the header. `headerBytes` holds all of it, and any part of the data; `bodyBytes` is the
 * length of the whole body, or null when it is not known yet (the caller then compares the last `end`
 * itself). Refuses MALFORMED_BODY for bytes that are not safetensors, and SHAPE_MISMATCH for uncountable
 * shapes. Of arrays that are not read here, only the ranges are checked.
 */
export const readSafetensorsHeader = (
  headerBytes: Uint8Array,
  bodyBytes: number | null,
  tensorCountMax: number = LIMITS.safetensorsTensorCountMax,
): SafetensorsHeader => {
  const dataAt = safetensorsHeaderBytes(headerBytes)
  if (dataAt === null || headerBytes.length < dataAt) {
    const needed = dataAt ?? `at least ${LENGTH_BYTES}`
    return refuse(
      'MALFORMED_BODY',
      `the safetensors body ends inside its header: ${headerBytes.length} bytes, expected ${needed}`,
    )
  }
  const header = readHeaderText(decodeText(headerBytes, dataAt), tensorCountMax)
  const ranges = [...header.tensors, ...header.unread]
  checkOffsets(ranges, bodyBytes === null ? null : bodyBytes - dataAt)
  return { ...header, dataAt }
}

/**
 * Reads a whole body of a request, of which every array is asked for: each as a view of it, by name. Refuses
 * as {@link readSafetensorsHeader}, and DTYPE_MISMATCH or SHAPE_MISMATCH for arrays that are not read here.
 */
export const readSafetensors = (bytes: Uint8Array): Map<string, TypedBytes> => {
  const { tensors, unread, dataAt } = readSafetensorsHeader(
    bytes,
    bytes.length,
    LIMITS.safetensorsRequestTensorCountMax,
  )
  for (const array of unread.values()) array.refuse()
  const arrays = new Map<string, TypedBytes>()
  for (const [name, { elementType, shape, begin, end }] of tensors) {
    arrays.set(name, { elementType, shape, data: viewBytes(bytes, dataAt + begin, dataAt + end) })
  }
  return arrays
}

/** Finds the arrays of a body by its header. Refuses as {@link readSafetensorsHeader}. */
export const locateSafetensors = (headerBytes: Uint8Array, announcedBytes: number | null): LocatedArrays => {
  const { tensors: arrays, unread, metadata, dataAt } = readSafetensorsHeader(headerBytes, announcedBytes)
  let bodyBytes = dataAt
  for (const ranges of [arrays, unread]) {
    for (const range of ranges.values()) {
      range.begin += dataAt
      range.end += dataAt
      bodyBytes = Math.max(bodyBytes, range.end)
    }
  }
  return { arrays, unread, metadata, bodyBytes }
}

/**
 * Makes the header for these arrays, whose bytes follow in the same order without gaps: those of `arrays[i]`
 * go to `ranges[i]`, counted from the end of the header. Spaces pad the header, so that the data begins at a
 * multiple of 8; every array is aligned if those of larger element types come first. Names must be distinct:
 * a caller checks that when clients choose them. `bodyBytes` is the length of header and data.
 */
export const writeSafetensorsHeader = (
  arrays: readonly NamedArray[],
  metadata?: ReadonlyMap<string, string>,
): { header: Uint8Array; ranges: ByteRange[]; bodyBytes: number } => {
  assert(
    new Set(arrays.map(({ name }) => name).concat(METADATA)).size === arrays.length + 1,
    'tensor names are distinct',
  )
  let end = 0
  const ranges = arrays.map(({ elementType, shape }) => {
    const begin = end
    end += arrayBytes(elementType, shape)
    return { begin, end }
  })
  const text = Buffer.from(printHeaderText(arrays, ranges, metadata))
  const header = new Uint8Array(LENGTH_BYTES + Math.ceil(text.length / 8) * 8).fill(0x20)
  new DataView(header.buffer).setBigUint64(0, BigInt(header.length - LENGTH_BYTES), true)
  header.set(text, LENGTH_BYTES)
  return { header, ranges, bodyBytes: header.length + end }
}

/** Frames arrays that follow each other without gaps. */
export const frameSafetensors = (
  arrays: readonly NamedArray[],
  metadata?: ReadonlyMap<string, string>,
): Frame => ({ head: writeSafetensorsHeader(arrays, metadata).header, tail: NO_BYTES })

const decodeText = (bytes: Uint8Array, dataAt: number): string => {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset + LENGTH_BYTES, dataAt - LENGTH_BYTES)
  return isUtf8(text)
    ? text.toString('utf8')
    : refuse('MALFORMED_BODY', 'the safetensors header is not UTF-8')
}

/**
 * Refuses (MALFORMED_BODY) arrays that do not cover the data from its first to its last byte, each byte once.
 */
const checkOffsets = (ranges: [string, ByteRange][], dataBytes: number | null): void => {
  ranges.sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end)
  let covered = 0
  for (const [name, { begin, end }] of ranges) {
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
