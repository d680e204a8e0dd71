/**
 * A buffer for one answer. `release` gives it back once the socket has taken the bytes; without it the
 * collector does.
 */
export interface ResponseBuffer {
  /** Exactly the bytes asked for. */
  bytes: Buffer
  release: () => void
}

const CLASS_BYTES_MIN = 16 * 1024

/** The `release` of small buffers: there is nothing to wait for. */
export const leaveToCollector = (): void => {}

/**
 * Recycles the memory of large answers, since fresh pages cost more than the gather
 * (docs/explanation/decisions.md). One free list per power of two; what would make the lists hold more than
 * `idleBytesMax` is left to the collector.
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

  /** A buffer of `byteCount` bytes with whatever was in it before: the caller writes all of them. */
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
      this.#giveBack(buffer)
    }
    return { bytes: buffer.subarray(0, byteCount), release }
  }

  #giveBack(buffer: Buffer): void {
    if (this.#idleBytes + buffer.length > this.#idleBytesMax) return
    this.#idleBytes += buffer.length
    const list = this.#idle.get(buffer.length)
    if (list === undefined) this.#idle.set(buffer.length, [buffer])
    else list.push(buffer)
  }
}
