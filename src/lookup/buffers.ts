/** Recycles the memory of answers. */

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

/** The `release` of buffers that are not recycled. */
export const leaveToCollector = (): void => {}

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
      return { bytes: Buffer.allocUnsafe(byteCount), release: leaveToCollector }
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
