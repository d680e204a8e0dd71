/** Makes the kernel provide the pages of a table before an upload writes to them. */
import { openSync, read } from 'node:fs'
import { ROWS_AT } from '../layout/table-layout.ts'

/**
 * The bytes that are touched at once, and the least distance to the writing position. With smaller blocks,
 * the thread pool waits for the event loop between two blocks.
 */
export const WARM_BLOCK_BYTES = 8 * 1024 * 1024
/**
 * The greatest distance to the writing position, so that a slow upload does not take the memory of the whole
 * table early.
 */
const AHEAD_BYTES_MAX = 4 * WARM_BLOCK_BYTES

/**
 * The descriptor of /dev/zero, one for the process, which is never closed. Undefined on a system without it:
 * the upload then touches its pages itself.
 */
const zeros = openZeros()

function openZeros(): number | undefined {
  try {
    return openSync('/dev/zero', 'r')
  } catch {
    return undefined
  }
}

/**
 * Touches the pages of a segment ahead of the upload that fills it. The first touch of new memory costs more
 * than copying into it, and the thread that receives an upload has no time for it, so a thread of libuv's
 * pool reads zeros into the pages. It touches one block at a time, always ahead of the writing position. The
 * upload must not enter a block before it is done, because the zeros would overwrite its rows.
 */
export class PageWarmer {
  readonly #memory: WebAssembly.Memory
  readonly #endAt: number
  /** The block that is being touched. */
  #busy: { beginAt: number; done: Promise<void> } | null = null
  #nextAt = ROWS_AT
  #writerAt = ROWS_AT
  #isClosed = false

  /** The upload will write `rowsBytes` of rows to `memory`, in order. */
  constructor(memory: WebAssembly.Memory, rowsBytes: number) {
    this.#endAt = ROWS_AT + rowsBytes
    this.#memory = memory
  }

  /**
   * Must be called before the upload writes up to `rowsOffset` bytes behind the first row. The upload waits
   * for the returned promise, if there is one.
   */
  prepare(rowsOffset: number): Promise<void> | null {
    this.#writerAt = Math.max(this.#writerAt, ROWS_AT + rowsOffset)
    if (this.#busy === null) this.#start()
    return this.#busy !== null && this.#busy.beginAt < this.#writerAt ? this.#busy.done : null
  }

  /**
   * Stops after the present block. That block may finish later, which does no harm to a segment that is
   * discarded.
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
      // A failed read does no harm either, because the upload then touches the pages itself.
      read(fd, block, 0, byteCount, null, () => {
        this.#busy = null
        this.#start()
        resolve()
      })
    })
    this.#busy = { beginAt, done }
  }
}
