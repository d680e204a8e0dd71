/** Collects the bodies of the fast path's requests that arrive in several pieces. */

/** The memory of a body, until its request is answered or handed to Fastify. */
export interface ReservedBody {
  readonly bytes: Buffer
  /** Must be called exactly once. */
  release: () => void
}

/** A body may arrive in this many pieces, plus one per `PIECE_BYTES`. If there are more, Fastify reads it. */
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

  /** The memory for the next bytes. It is never empty while the body is incomplete. */
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
  get hasTooManyPieces(): boolean {
    return !this.isWhole && this.#pieceCount > PIECE_COUNT_MAX + this.reserved.bytes.length / PIECE_BYTES
  }

  /** Counts `byteCount` more bytes, which are already in their places. */
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
