/** The memory of a body: kept until its request is answered, or is somebody else's. */
export interface ReservedBody {
  readonly bytes: Buffer
  /** To be called once. */
  release: () => void
}

/** A body may come in this many pieces, and one more for each `PIECE_BYTES` of it: beyond that it is not waited for here. */
const PIECE_COUNT_MAX = 64
const PIECE_BYTES = 4 * 1024

/** A body on its way into its memory. */
export class ArrivingBody {
  readonly reserved: ReservedBody
  #filledBytes = 0
  #pieceCount = 0

  constructor(reserved: ReservedBody) {
    this.reserved = reserved
  }

  /** Where the next bytes of it belong. Never empty while it is not whole. */
  get room(): Buffer {
    return this.reserved.bytes.subarray(this.#filledBytes)
  }

  get arrived(): Buffer {
    return this.reserved.bytes.subarray(0, this.#filledBytes)
  }

  get isWhole(): boolean {
    return this.#filledBytes === this.reserved.bytes.length
  }

  /** Whether its client sends so little at a time that it is work without end. */
  get isTooMany(): boolean {
    return !this.isWhole && this.#pieceCount > PIECE_COUNT_MAX + this.reserved.bytes.length / PIECE_BYTES
  }

  /** Notes that `byteCount` more bytes lie in their places. */
  note(byteCount: number): void {
    this.#filledBytes += byteCount
    this.#pieceCount++
  }

  /** Copies what of `bytes` belongs to it. Returns how many do. */
  add(bytes: Buffer): number {
    const byteCount = bytes.copy(this.room)
    this.note(byteCount)
    return byteCount
  }
}
