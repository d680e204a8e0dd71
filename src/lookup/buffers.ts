/** Recycles the memory of answers. */
import { assert } from '../core/assert.ts'
import type { ArenaShare, Region } from '../tables/arena.ts'

/**
 * A buffer for one answer. Calling `release` when the socket has taken the bytes recycles it; without that
 * call the garbage collector frees it.
 */
export interface ResponseBuffer {
  /** Exactly as many bytes as were requested. */
  bytes: Buffer
  release: () => void
}

const CLASS_BYTES_MIN = 16 * 1024

/** The `release` of small buffers: there is nothing to wait for. */
export const releaseToCollector = (): void => {}

/**
 * Recycles the memory of large answers, because fresh pages cost more than the gather
 * (docs/explanation/decisions.md). There is one free list per power of two. A buffer that would make the
 * lists hold more than `idleBytesMax` is left to the garbage collector.
 */
export class ResponseBuffers {
  readonly #idleBytesMax: number
  readonly #idle = new Map<number, Buffer[]>()
  #idleBytes = 0

  constructor(idleBytesMax: number) {
    this.#idleBytesMax = idleBytesMax
  }

  get idleBytes(): number {
    return this.#idleBytes
  }

  /** Returns a buffer of `byteCount` bytes, which are not cleared: the caller must write all of them. */
  acquire(byteCount: number): ResponseBuffer {
    if (byteCount < CLASS_BYTES_MIN)
      return { bytes: Buffer.allocUnsafe(byteCount), release: releaseToCollector }
    const classBytes = 2 ** Math.ceil(Math.log2(byteCount))
    const whole = this.#idle.get(classBytes)?.pop()
    if (whole !== undefined) this.#idleBytes -= classBytes
    const buffer = whole ?? Buffer.allocUnsafeSlow(classBytes)
    let released = false
    const release = () => {
      if (released) return
      released = true
      this.#recycle(buffer)
    }
    return { bytes: buffer.subarray(0, byteCount), release }
  }

  #recycle(buffer: Buffer): void {
    if (this.#idleBytes + buffer.length > this.#idleBytesMax) return
    this.#idleBytes += buffer.length
    const list = this.#idle.get(buffer.length)
    if (list === undefined) this.#idle.set(buffer.length, [buffer])
    else list.push(buffer)
  }
}

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
