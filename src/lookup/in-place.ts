/** Sends long answers straight from the arena, without a copy. */
import { assert } from '../core/assert.ts'
import type { ArenaShare, Region } from '../tables/arena.ts'
import type { ResponseBuffer } from './buffers.ts'

/** Copying a smaller answer costs less than keeping its region reserved. */
const IN_PLACE_BYTES_MIN = 64 * 1024

/** The rows of an answer in the region that they were gathered into. */
export interface RowsInPlace {
  /** Only the owner of the region writes to it, so bytes that are being sent from it do not change. */
  region: Region
  rowsAt: number
  byteCount: number
}

/**
 * Answers from the arena. The head is written right before the rows, over ids that no step needs any more.
 * The region belongs to the answer until the socket has taken the bytes or is closed. Returns null if the
 * answer must be copied out: it is short, or the answers that wait for slow clients have used `share` up,
 * whose limit leaves the rest of the arena to lookups.
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
