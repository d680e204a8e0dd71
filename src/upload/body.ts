import { createHash } from 'node:crypto'
import type { Hash } from 'node:crypto'

/** Options of receiving a body. */
export interface BodyOptions {
  hashesBytes?: boolean
  /** See `Upload.freesChunks`. */
  freesChunks?: boolean
}

/**
 * A body as it comes in: counts its bytes, hashes them when asked to, and hands them on without keeping any.
 * Closing it early tells the source to stop.
 */
export class UploadBody {
  readonly #chunks: AsyncIterator<Uint8Array>
  readonly #hash: Hash | null
  readonly #freesChunks: boolean
  /** The chunk that was received last. */
  #chunk: Uint8Array | null = null
  /** The part of it that was not handed on yet. */
  #rest: Uint8Array | null = null
  #receivedBytes = 0
  #ended = false

  constructor(
    body: AsyncIterable<Uint8Array>,
    { hashesBytes = false, freesChunks = false }: BodyOptions = {},
  ) {
    this.#chunks = body[Symbol.asyncIterator]()
    this.#hash = hashesBytes ? createHash('sha256') : null
    this.#freesChunks = freesChunks
  }

  /** Bytes received so far, handed on or not. */
  get receivedBytes(): number {
    return this.#receivedBytes
  }

  /**
   * The next bytes, at least one; null at the end. Valid until the next call. Rejects as the source does,
   * when the client is gone.
   */
  async next(): Promise<Uint8Array | null> {
    const rest = this.#rest
    this.#rest = null
    if (rest !== null) return rest
    this.#freeChunk()
    while (!this.#ended) {
      const { done, value } = await this.#chunks.next()
      if (done === true) this.#ended = true
      else if (value.length > 0) {
        this.#receivedBytes += value.length
        this.#hash?.update(value)
        this.#chunk = value
        return value
      }
    }
    return null
  }

  /** The next `byteCount` bytes, in memory of their own; fewer at the end of the body. */
  async take(byteCount: number): Promise<Uint8Array> {
    const taken = new Uint8Array(byteCount)
    let filled = 0
    while (filled < byteCount) {
      const chunk = await this.next()
      if (chunk === null) break
      const used = Math.min(chunk.length, byteCount - filled)
      taken.set(chunk.subarray(0, used), filled)
      filled += used
      if (used < chunk.length) this.#rest = chunk.subarray(used)
    }
    return taken.subarray(0, filled)
  }

  /** The sha-256 of all that was received. Once, at the end. */
  digest(): Uint8Array | null {
    return this.#hash?.digest() ?? null
  }

  /** Stops the source, unless it has ended. What that throws is not news: the body is given up anyway. */
  async close(): Promise<void> {
    this.#freeChunk()
    if (this.#ended) return
    this.#ended = true
    await this.#chunks.return?.().then(null, () => null)
  }

  /** Frees the last chunk when that is wanted, and its memory is no part of a larger one. */
  #freeChunk(): void {
    const buffer = this.#chunk?.buffer
    if (this.#freesChunks && buffer instanceof ArrayBuffer && buffer.byteLength === this.#chunk?.byteLength)
      buffer.transfer(0)
    this.#chunk = null
  }
}
