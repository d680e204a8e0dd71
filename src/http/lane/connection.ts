import type { Socket } from 'node:net'
import { leaveToCollector } from '../../lookup/buffers.ts'
import type { KnownHead } from './known-heads.ts'
import type { Serve } from './serve.ts'

/** A body in more pieces than this is not waited for here. */
const PIECE_COUNT_MAX = 64

/** What a connection needs of the lane it is in. */
export interface LaneExits {
  readHead(bytes: Buffer): KnownHead | undefined
  serve: Serve
  /** Makes the socket Fastify's, as if it had just been accepted. */
  giveToFastify(socket: Socket): void
  /** The connection is not in the lane any more. */
  forget(connection: LaneConnection): void
  /** Milliseconds of `performance.now()`, a sweep old at most. */
  nowMs(): number
}

/**
 * A connection whose client has asked for nothing but raw lookups so far. Requests are answered in the order they come, each by one
 * write, before the next is looked at. While the client does not take its answers nothing more is read.
 */
export class LaneConnection {
  readonly socket: Socket
  /** When something was last heard of the client. */
  heardAtMs: number
  /** Whether the client has asked anything yet. */
  isNew = true
  /** When the body that is waited for began; undefined: none is. */
  bodySinceMs: number | undefined
  readonly #exits: LaneExits
  /** The head of the last request, which clients repeat to the byte. */
  #known: KnownHead | undefined
  /** A request whose body is not all here. */
  #pieces: Buffer[] = []
  #missingBytes = 0
  /** Requests that wait until the client takes answers again. */
  #unread: Buffer | undefined

  constructor(socket: Socket, exits: LaneExits) {
    this.socket = socket
    this.#exits = exits
    this.heardAtMs = exits.nowMs()
    socket.on('data', this.#onData).on('end', this.#onEnd).on('close', this.#onClose).on('error', this.#onError)
  }

  /** Whether every request has been answered, though the answer may still be on its way. */
  get isIdle(): boolean {
    return this.#missingBytes === 0 && this.#unread === undefined
  }

  /** Hands the connection over for good, with everything that has not been answered. */
  leave(): void {
    this.#leaveWith(this.#unread ?? Buffer.concat(this.#pieces))
  }

  /** Ends the connection once the answers under way are out. What still comes over it is too late. */
  close(): void {
    const { socket } = this
    this.#exits.forget(this)
    socket.off('data', this.#onData).off('drain', this.#onDrain).resume().destroySoon()
  }

  #leaveWith(unanswered: Buffer): void {
    const { socket } = this
    this.#exits.forget(this)
    socket.off('data', this.#onData).off('end', this.#onEnd).off('close', this.#onClose).off('error', this.#onError)
    socket.off('drain', this.#onDrain)
    this.#exits.giveToFastify(socket)
    if (socket.isPaused()) socket.resume()
    // Node's parser listens for data also where it reads the handle itself.
    if (unanswered.length > 0) socket.emit('data', unanswered)
  }

  readonly #onData = (chunk: Buffer): void => {
    this.heardAtMs = this.#exits.nowMs()
    this.isNew = false
    if (this.#missingBytes === 0) {
      this.#take(chunk)
      return
    }
    this.#pieces.push(chunk)
    this.#missingBytes -= chunk.length
    if (this.#missingBytes > 0 && this.#pieces.length < PIECE_COUNT_MAX) return
    const bytes = Buffer.concat(this.#pieces)
    const isWhole = this.#missingBytes <= 0
    this.#forgetPieces()
    if (isWhole) this.#take(bytes)
    else this.#leaveWith(bytes)
  }

  /** Answers the requests in `bytes`, which begin with one, until something is not for the lane. */
  #take(bytes: Buffer): void {
    const { socket } = this
    for (let at = 0; at < bytes.length; ) {
      if (socket.writableNeedDrain) {
        this.#wait(bytes.subarray(at))
        return
      }
      const known = this.#recognise(bytes, at)
      if (known === undefined) {
        this.#leaveWith(bytes.subarray(at))
        return
      }
      const { head, repeats } = known
      const end = at + head.headBytes + head.bodyBytes
      if (end > bytes.length) {
        this.#pieces.push(bytes.subarray(at))
        this.#missingBytes = end - bytes.length
        this.bodySinceMs = this.heardAtMs
        return
      }
      const answer = this.#exits.serve(head, repeats, bytes, at + head.headBytes)
      if (answer === null) {
        this.#leaveWith(bytes.subarray(at))
        return
      }
      // With a callback Node does more; without one the collector has the memory.
      if (answer.release === leaveToCollector) socket.write(answer.bytes)
      else socket.write(answer.bytes, answer.release)
      at = end
    }
  }

  #recognise(bytes: Buffer, at: number): KnownHead | undefined {
    const known = this.#known
    if (known !== undefined) {
      const end = at + known.bytes.length
      if (end <= bytes.length && bytes.compare(known.bytes, 0, known.bytes.length, at, end) === 0) return known
    }
    this.#known = this.#exits.readHead(bytes.subarray(at))
    return this.#known
  }

  #wait(unread: Buffer): void {
    this.#unread = unread
    this.socket.pause().once('drain', this.#onDrain)
  }

  readonly #onDrain = (): void => {
    const unread = this.#unread
    this.#unread = undefined
    this.heardAtMs = this.#exits.nowMs()
    this.socket.resume()
    if (unread !== undefined) this.#take(unread)
  }

  #forgetPieces(): void {
    this.#pieces = []
    this.#missingBytes = 0
    this.bodySinceMs = undefined
  }

  readonly #onEnd = (): void => {
    if (this.#missingBytes === 0) {
      this.socket.end()
      return
    }
    this.leave()
    // Whoever listens now has not heard it.
    this.socket.emit('end')
  }

  readonly #onClose = (): void => this.#exits.forget(this)

  readonly #onError = (): void => void this.socket.destroy()
}
