/** Remembers the heads of requests, because clients repeat them byte for byte. */
import { HEAD_BYTES_MAX, type FastPathHead, readHead } from './read-head.ts'
import type { PreparedByTable } from './serve-lookup.ts'

/** A head that has been read, and the work that was prepared for it. Equal bytes have the same meaning. */
export interface KnownHead {
  bytes: Buffer
  head: FastPathHead
  prepared: PreparedByTable
}

/** Whether the bytes from `at` on begin with a known head. */
export const beginsWith = (bytes: Buffer, at: number, known: KnownHead): boolean => {
  const end = at + known.bytes.length
  return end <= bytes.length && bytes.compare(known.bytes, 0, known.bytes.length, at, end) === 0
}

/**
 * The most heads that are remembered. Those of one client differ only in the length of the body, and a
 * service has few clients.
 */
const KNOWN_COUNT_MAX = 512

const END = Buffer.from('\r\n\r\n')

/**
 * Makes a function that reads heads by {@link readHead}, or remembers them. It returns undefined when the
 * request is not for the fast path.
 */
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
    // All heads are forgotten at once, because otherwise every request would have to maintain an order.
    if (known.size === KNOWN_COUNT_MAX) known.clear()
    // The head is copied, because the buffer around it may be much larger.
    const added: KnownHead = {
      bytes: Buffer.from(bytes.subarray(0, head.headBytes)),
      head,
      prepared: new WeakMap(),
    }
    known.set(text, added)
    return added
  }
}
