/**
 * Long answers, which are sent while they are gathered, so that a slow client does not occupy the memory of
 * all of its rows.
 */
import { assert } from '../core/assert.ts'
import type { Region } from '../tables/arena.ts'
import { resolveRows } from '../tables/resolve.ts'
import { dispatchGather, INLINE_BYTES_MAX } from '../workers/dispatch.ts'
import type { ResponseBuffer } from './buffers.ts'
import { type Answer, frameRows, MEDIA_TYPES } from './encode.ts'
import { writeFillRow } from './fill.ts'
import type { LookupServices, PlannedLookup } from './lookup.ts'

/** Answers with more bytes of rows than this are sent piece by piece. */
const PIECE_BYTES = 1024 * 1024

/** An answer whose rows are gathered while earlier ones are being sent. */
export interface StreamedAnswer extends Omit<Answer, 'body'> {
  /** The bytes of the format before and after the rows. */
  head: Uint8Array
  tail: Uint8Array
  /** Length of head, rows and tail together. */
  byteCount: number
  rows: RowStream
}

/**
 * Whether an answer is long and consists of rows only. If it were gathered as a whole, its memory would be in
 * use for as long as its client takes to read it.
 */
export const isStreamed = ({ plan, adapter, encoding }: PlannedLookup): boolean =>
  encoding !== 'json' &&
  plan.bags === null &&
  adapter === null &&
  !plan.mask &&
  plan.elementType !== 'uint8' &&
  plan.answerBytes > PIECE_BYTES

/**
 * Begins a long lookup. Ids are resolved and checked now, so that the request is refused before the first
 * byte; rows are read piece by piece. Each row is at the sequence of the answer or at a later one. The caller
 * must read the stream to its end or close it.
 */
export const streamLookup = (services: LookupServices, planned: PlannedLookup): StreamedAnswer => {
  const { arena } = services
  const { reader, request, plan, encoding } = planned
  assert(encoding !== 'json', 'JSON is printed as a whole')
  // The plan places ids and fill row before the rows, which the region leaves out.
  const region = arena.reserve(plan.rowsAt)
  try {
    const idsAt = region.at + plan.idsAt
    const ids = arena.int32.subarray(idsAt / 4, idsAt / 4 + plan.count)
    const sequence = reader.readSequence()
    resolveRows(request.indices, request.shape, ids, reader.handle.rows, plan.mode)
    if (plan.mode === 'fill') writeFillRow(arena, region.at + plan.fillAt, plan, reader)
    const { shape, elementType } = plan
    const { head, tail } = frameRows({ shape, elementType, mask: null }, encoding)
    return {
      head,
      tail,
      byteCount: head.length + plan.answerBytes + tail.length,
      rows: new RowStream(services, planned, region),
      mediaType: MEDIA_TYPES[encoding],
      version: reader.handle.version,
      sequence,
      shape,
      elementType,
    }
  } catch (error) {
    arena.release(region)
    throw error
  }
}

/**
 * The rows of a long answer, one piece at a time. The stream keeps its ids reserved and pins the version that
 * it reads.
 */
export class RowStream {
  readonly #services: LookupServices
  readonly #planned: PlannedLookup
  readonly #region: Region
  readonly #pieceRows: number
  #nextPosition = 0
  #runningCount = 0
  #isClosed = false

  constructor(services: LookupServices, planned: PlannedLookup, region: Region) {
    this.#services = services
    this.#planned = planned
    this.#region = region
    const { gatheredRowBytes, gatheredBytes } = planned.plan
    // Large answers have pieces large enough for the pool to divide among its threads.
    const pieceBytes =
      services.pool !== null && gatheredBytes >= 2 * INLINE_BYTES_MAX ? INLINE_BYTES_MAX : PIECE_BYTES
    this.#pieceRows = Math.max(1, Math.ceil(pieceBytes / Math.max(64, gatheredRowBytes)))
    planned.reader.pin()
  }

  /**
   * Gathers the next piece, which the caller must release; null at the end. The caller may request the next
   * piece before the last one is sent. Rejects with OVERLOADED.
   */
  async next(): Promise<ResponseBuffer | null> {
    const { plan } = this.#planned
    const first = this.#nextPosition
    const count = Math.min(this.#pieceRows, plan.count - first)
    if (count === 0 || this.#isClosed) return null
    this.#nextPosition += count
    this.#runningCount++
    try {
      return await this.#gather(first, count)
    } finally {
      this.#runningCount--
      this.#freeWhenClosed()
    }
  }

  /** Releases everything, after the piece that is being gathered. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#freeWhenClosed()
  }

  async #gather(first: number, count: number): Promise<ResponseBuffer> {
    const { arena, buffers, pool } = this.#services
    const { reader, plan } = this.#planned
    const { rowFormat, gatheredRowBytes, narrow, elementType } = plan
    const gatheredBytes = count * gatheredRowBytes
    const rows = arena.reserve(gatheredBytes)
    try {
      const job = {
        format: rowFormat,
        idsAt: this.#region.at + plan.idsAt + first * 4,
        count,
        outAt: rows.at,
        fillAt: this.#region.at + plan.fillAt,
      }
      await dispatchGather(reader, arena, job, pool)
      let byteCount = gatheredBytes
      if (narrow && elementType !== 'uint8') {
        // Converted in place: the narrow numbers never overtake the wide ones.
        reader.kernels(arena.memory)[0].convert('float32', elementType, rows.at, gatheredBytes / 4, rows.at)
        byteCount = gatheredBytes / 2
      }
      const piece = buffers.acquire(byteCount)
      arena.copyOut(rows.at, byteCount, piece.bytes, 0)
      return piece
    } finally {
      arena.release(rows)
    }
  }

  #freeWhenClosed(): void {
    if (!this.#isClosed || this.#runningCount > 0) return
    this.#services.arena.release(this.#region)
    this.#planned.reader.unpin()
  }
}
