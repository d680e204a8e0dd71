/** Receives the header of an upload, within a bound on the memory of all headers of an HTTP worker. */
import { refuse } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { ArrayFormat, NamedArraysFormat } from '../formats/format.ts'
import type { UploadBody } from './body.ts'

/** Memory for a large header is counted in such pieces, as they arrive. */
const PIECE_BYTES = 1024 * 1024

/** The bytes of large headers that have arrived at an HTTP worker and are not read yet. */
export interface HeaderMemory {
  bytes: number
}

/**
 * Receives the header of a body of this format and returns what `read` makes of it; the header is shorter if
 * the body ends inside it. Refuses OVERLOADED when the headers above `headerBytesFreeMax` in `memory` take
 * more than `headerBytesInFlightMax` together.
 */
export const readHeader = async <Result>(
  body: UploadBody,
  { prefixBytes, measureHeader }: ArrayFormat | NamedArraysFormat,
  memory: HeaderMemory,
  read: (header: Uint8Array) => Result,
): Promise<Result> => {
  const prefix = await body.take(prefixBytes)
  const headerBytes = measureHeader(prefix)
  if (headerBytes === null || headerBytes <= prefix.length) return read(prefix)
  const restBytes = headerBytes - prefix.length
  if (headerBytes <= LIMITS.headerBytesFreeMax)
    return read(Buffer.concat([prefix, await body.take(restBytes)]))
  // The system provides the pages of this memory when they are written.
  const header = new Uint8Array(headerBytes)
  header.set(prefix)
  let filled = prefix.length
  try {
    while (filled < headerBytes) {
      const piece = await body.take(Math.min(PIECE_BYTES, headerBytes - filled))
      if (piece.length === 0) break
      header.set(piece, filled)
      filled += piece.length
      memory.bytes += piece.length
      if (memory.bytes > LIMITS.headerBytesInFlightMax)
        refuse('OVERLOADED', 'other uploads with large headers are being received; try again later')
    }
    return read(header.subarray(0, filled))
  } finally {
    memory.bytes -= filled - prefix.length
  }
}
