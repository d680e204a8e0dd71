import { openSync, read } from 'node:fs'
import { ROWS_AT } from '../layout/table-layout.ts'

/**
 * Bytes of pages that are touched at once, and the least distance to the loader. With smaller blocks the pool
 * waits for the event loop between them.
 */
export const WARM_BLOCK_BYTES = 8 * 1024 * 1024
/**
 * The greatest distance ahead of the loader: a slow upload does not take the memory of the whole table early.
 */
const AHEAD_BYTES_MAX = 4 * WARM_BLOCK_BYTES

/**
 * Never closed: one for the process. Undefined where the system has no such file: then the writer meets fresh
 * pages itself.
 */
let zeros: number | undefined
try {
  zeros = openSync('/dev/zero', 'r')
} catch {
  zeros = undefined
}

/**
 * Brings the pages of a segment into being ahead of its writer. The first touch of fresh memory costs more
 * than copying into it, and the thread that receives an upload has no time for it; reading zeros from the
 * system does it on a thread of libuv's pool instead. One block at a time, always in front of the writer,
 * which must not pass a block before it is done: the zeros would come after the rows.
 */
export class PageWarmer {
  readonly #memory: WebAssembly.Memory
  readonly #endAt: number
  /** The block under way. */
  #busy: { beginAt: number; done: Promise<void> } | null = null
  #nextAt = ROWS_AT
  #writerAt = ROWS_AT
  #isClosed = false

  /** `rowsBytes` of rows will be written to `memory`, in order. */
  constructor(memory: WebAssembly.Memory, rowsBytes: number) {
    this.#endAt = ROWS_AT + rowsBytes
    this.#memory = memory
  }

  /**
   * To be called, and when it returns a promise awaited, before the writer writes as far as `rowsOffset`
   * bytes behind the first row.
   */
  prepare(rowsOffset: number): Promise<void> | null {
    this.#writerAt = Math.max(this.#writerAt, ROWS_AT + rowsOffset)
    if (this.#busy === null) this.#start()
    return this.#busy !== null && this.#busy.beginAt < this.#writerAt ? this.#busy.done : null
  }

  /**
   * Starts no more blocks. One may be under way still, which does no harm when the segment is given up.
   */
  close(): void {
    this.#isClosed = true
  }

  #start(): void {
    const beginAt = Math.max(this.#nextAt, this.#writerAt + WARM_BLOCK_BYTES)
    const byteCount = Math.min(WARM_BLOCK_BYTES, this.#endAt - beginAt)
    if (zeros === undefined || this.#isClosed || byteCount <= 0 || beginAt > this.#writerAt + AHEAD_BYTES_MAX)
      return
    this.#nextAt = beginAt + byteCount
    const fd = zeros
    const block = new Uint8Array(this.#memory.buffer, beginAt, byteCount)
    const done = new Promise<void>((resolve) => {
      // Whether it worked does not matter: the writer then meets the fresh pages itself.
      read(fd, block, 0, byteCount, null, () => {
        this.#busy = null
        this.#start()
        resolve()
      })
    })
    this.#busy = { beginAt, done }
  }
}
