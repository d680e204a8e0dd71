import { HEAD_BYTES_MAX, type FastPathHead, readHead } from './read-head.ts'
import type { PreparedByTable } from './serve-lookup.ts'

/** A head that has been read, and what was prepared for it. The same bytes mean the same again. */
export interface KnownHead {
  bytes: Buffer
  head: FastPathHead
  prepared: PreparedByTable
}

/** Heads of one client differ by the length of the body alone; a service has few clients. */
const KNOWN_COUNT_MAX = 512

const END = Buffer.from('\r\n\r\n')

/** Reads heads by {@link readHead}, or remembers them. undefined: the request is not for the fast path. */
export const createHeadReader = (): ((bytes: Buffer) => KnownHead | undefined) => {
  const known = new Map<string, KnownHead>()
  return (bytes) => {
    const end = bytes.subarray(0, HEAD_BYTES_MAX).indexOf(END)
    if (end < 0) return undefined
    const text = bytes.toString('latin1', 0, end)
    const remembered = known.get(text)
    if (remembered !== undefined) return remembered
    const head = readHead(bytes)
    if (head === null) return undefined
    // All at once, because every request would have to keep a queue in order.
    if (known.size === KNOWN_COUNT_MAX) known.clear()
    // A copy, because the buffer that the head lies in may be much larger.
    const found: KnownHead = {
      bytes: Buffer.from(bytes.subarray(0, head.headBytes)),
      head,
      prepared: new WeakMap(),
    }
    known.set(text, found)
    return found
  }
}
