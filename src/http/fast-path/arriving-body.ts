/** The memory of a body, until its request is answered or handed to Fastify. */
export interface ReservedBody {
  readonly bytes: Buffer
  /** Is called once. */
  release: () => void
}

/** A body may arrive in this many pieces, and one more per `PIECE_BYTES`. With more, Fastify waits for it. */
const PIECE_COUNT_MAX = 64
const PIECE_BYTES = 4 * 1024

/** A body that arrives in its memory, piece by piece. */
export class ArrivingBody {
  readonly reserved: ReservedBody
  #filledBytes = 0
  #pieceCount = 0

  constructor(reserved: ReservedBody) {
    this.reserved = reserved
  }

  /** The place of the next bytes. Never empty while the body is not whole. */
  get room(): Buffer {
    return this.reserved.bytes.subarray(this.#filledBytes)
  }

  get arrived(): Buffer {
    return this.reserved.bytes.subarray(0, this.#filledBytes)
  }

  get isWhole(): boolean {
    return this.#filledBytes === this.reserved.bytes.length
  }

  /** Whether the client sends so little at a time that each byte costs a read. */
  get isTooMany(): boolean {
    return !this.isWhole && this.#pieceCount > PIECE_COUNT_MAX + this.reserved.bytes.length / PIECE_BYTES
  }

  /** Counts `byteCount` more bytes, which lie in their places. */
  note(byteCount: number): void {
    this.#filledBytes += byteCount
    this.#pieceCount++
  }

  /** Copies the bytes that belong to the body, and returns their count. */
  add(bytes: Buffer): number {
    const byteCount = bytes.copy(this.room)
    this.note(byteCount)
    return byteCount
  }
}
