import { assert } from '../core/assert.ts'
import type { ArenaShare, Region } from '../tables/arena.ts'
import type { ResponseBuffer } from './buffers.ts'

/** Smaller answers are copied out sooner than their region is kept and given back. */
const IN_PLACE_BYTES_MIN = 64 * 1024

/** Rows of an answer where they were gathered. */
export interface RowsInPlace {
  /** Nobody writes to it but who has reserved it: what is sent from it stays what it is. */
  region: Region
  rowsAt: number
  byteCount: number
}

/**
 * Answers from the arena, with the head right before the rows, in the place of ids that no step needs
 * any more. Its region is the answer's, until the socket has taken the bytes or is gone. null: it is to be
 * copied out, since it is short, or since so many answers wait for their clients that `share` is used up:
 * slow clients leave the rest of the arena to lookups.
 */
export const sendInPlace = (
  share: ArenaShare,
  { region, rowsAt, byteCount }: RowsInPlace,
  writeHead: (bodyBytes: number) => Uint8Array,
): ResponseBuffer | null => {
  if (byteCount < IN_PLACE_BYTES_MIN) return null
  const { bytes, memory } = share.arena
  const head = writeHead(byteCount)
  const at = rowsAt - head.length
  assert(at >= region.at, 'the ids or the fill row of a long answer take more room than a head')
  if (!share.adopt(region)) return null
  bytes.set(head, at)
  return {
    bytes: Buffer.from(memory.buffer, at, head.length + byteCount),
    release: () => share.release(region),
  }
}
