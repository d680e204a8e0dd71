/** Receives the body of an upload. */
import { createHash } from 'node:crypto'
import type { Hash } from 'node:crypto'

/** Options for receiving a body. */
export interface BodyOptions {
  hashesBytes?: boolean
  /** See `Upload.freesChunks`. */
  freesChunks?: boolean
}

/**
 * A body that is arriving. It counts the bytes, hashes them if requested, and hands them on without storing
 * any. Closing it early tells the source to stop.
 */
export class UploadBody {
  readonly #chunks: AsyncIterator<Uint8Array>
  readonly #hash: Hash | null
  readonly #freesChunks: boolean
  /** The chunk that was received last. */
  #chunk: Uint8Array | null = null
  /** The part of that chunk that was not handed on yet. */
  #rest: Uint8Array | null = null
  #receivedBytes = 0
  #ended = false
  #digest: Uint8Array | null = null

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
   * Returns the next bytes, at least one; null at the end. They are valid until the next call. Rejects as the
   * source does, for example when the client has left.
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

  /** Returns the next `byteCount` bytes in new memory; fewer at the end of the body. */
  async take(byteCount: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(byteCount)
    let filled = 0
    while (filled < byteCount) {
      const chunk = await this.next()
      if (chunk === null) break
      const used = Math.min(chunk.length, byteCount - filled)
      bytes.set(chunk.subarray(0, used), filled)
      filled += used
      if (used < chunk.length) this.#rest = chunk.subarray(used)
    }
    return bytes.subarray(0, filled)
  }

  /** Returns the sha-256 of all received bytes, after the end; null if they were not hashed. */
  digest(): Uint8Array | null {
    this.#digest ??= this.#hash?.digest() ?? null
    return this.#digest
  }

  /**
   * Stops the source, unless it has ended. Errors of the source are ignored, because the body is abandoned
   * anyway.
   */
  async close(): Promise<void> {
    this.#freeChunk()
    if (this.#ended) return
    this.#ended = true
    await this.#chunks.return?.().then(null, () => null)
  }

  /** Frees the last chunk if the options say so and its memory is not part of a larger buffer. */
  #freeChunk(): void {
    const buffer = this.#chunk?.buffer
    if (this.#freesChunks && buffer instanceof ArrayBuffer && buffer.byteLength === this.#chunk?.byteLength)
      buffer.transfer(0)
    this.#chunk = null
  }
}
