import type { Socket } from 'node:net'
import { releaseToCollector, type ResponseBuffer } from '../../lookup/buffers.ts'
import { type AdoptedSocket, adoptSocket, type SocketReader } from './adopt-socket.ts'
import { ArrivingBody, type ReservedBody } from './arriving-body.ts'
import type { FastPathExits } from './exits.ts'
import type { KnownHead } from './known-heads.ts'
import type { FastPathHead } from './read-head.ts'

/**
 * A connection whose requests so far were all for the fast path. They are answered in order, each by one
 * write, before the next is looked at. While the client does not take its answers nothing more is read.
 */
export class FastPathConnection implements SocketReader {
  readonly socket: Socket
  /** When the client last sent or took something. */
  heardAtMs: number
  /** Whether the client has sent nothing yet. */
  isNew = true
  /** When the body that is arriving began; undefined: none is. */
  bodySinceMs: number | undefined
  readonly #exits: FastPathExits<FastPathConnection>
  readonly #adopted: AdoptedSocket | null
  /** The head of the last request. Clients repeat heads to the byte. */
  #known: KnownHead | undefined
  /** The body of a request that has not arrived as a whole. */
  #arriving: ArrivingBody | null = null
  /** An answer is being made. */
  isAnswering = false
  /** Requests that wait until the client takes answers again, or until an answer is made. */
  #unread: Buffer | undefined
  #hasLeft = false
  #hasEnded = false
  #closesAfterwards = false

  constructor(accepted: Socket, exits: FastPathExits<FastPathConnection>) {
    this.#exits = exits
    this.heardAtMs = exits.nowMs()
    this.#adopted = adoptSocket(accepted, this)
    this.socket = this.#adopted?.socket ?? accepted
    if (this.#adopted === null) accepted.on('data', this.#hear)
    else this.socket.resume()
    this.socket.on('end', this.#onEnd).on('close', this.#onClose).on('error', this.#onError)
  }

  /** Whether every request has been answered, though the answer may still be on its way. */
  get isIdle(): boolean {
    return this.#arriving === null && this.#unread === undefined && !this.isAnswering
  }

  target(): Uint8Array {
    return this.#arriving?.room ?? this.#exits.readBuffer
  }

  read(byteCount: number, memory: Uint8Array): boolean {
    const bytes = Buffer.from(memory.buffer, memory.byteOffset, byteCount)
    // Node's parser reads the handle itself; bytes that come here later belong to the socket's readers.
    if (this.#hasLeft) return this.socket.push(Buffer.from(bytes))
    this.#hear(bytes)
    return true
  }

  /**
   * Hands the connection to Fastify for good, with everything that has not been answered. While an answer
   * is being made the connection is ended after it instead.
   */
  demote(): void {
    if (this.isAnswering) this.#closesAfterwards = true
    else if (this.#arriving !== null) this.#demoteWith(null, this.#known?.bytes, this.#arriving.arrived)
    else this.#demoteWith(null, this.#unread)
  }

  /** Ends the connection once the answers under way are sent. Later requests are dropped. */
  close(): void {
    const { socket } = this
    this.#exits.forget(this)
    socket.off('data', this.#hear).off('drain', this.#goOn).resume().destroySoon()
  }

  /** `reserved` is released before Fastify looks for room for the same body. */
  #demoteWith(reserved: ReservedBody | null, ...unanswered: (Buffer | undefined)[]): void {
    const { socket } = this
    // A copy, because the next read overwrites the memory that they lie in.
    const bytes = Buffer.concat(unanswered.filter((part) => part !== undefined))
    reserved?.release()
    this.#exits.forget(this)
    this.#hasLeft = true
    if (this.#arriving !== null) this.#adopted?.redirect(this.#exits.readBuffer)
    this.#forgetBody()
    socket
      .off('data', this.#hear)
      .off('end', this.#onEnd)
      .off('close', this.#onClose)
      .off('error', this.#onError)
    socket.off('drain', this.#goOn)
    this.#exits.giveToFastify(socket)
    if (socket.isPaused()) socket.resume()
    // Node's parser listens for data even when it reads the handle itself.
    if (bytes.length > 0) socket.emit('data', bytes)
    // The new listeners have missed the end.
    if (this.#hasEnded) socket.emit('end')
  }

  readonly #hear = (bytes: Buffer): void => {
    this.heardAtMs = this.#exits.nowMs()
    this.isNew = false
    const arriving = this.#arriving
    if (arriving === null) {
      this.#take(bytes)
      return
    }
    const { room } = arriving
    let rest = bytes.subarray(bytes.length)
    if (room.buffer === bytes.buffer && room.byteOffset === bytes.byteOffset) arriving.note(bytes.length)
    else rest = bytes.subarray(arriving.add(bytes))
    if (arriving.isTooMany) this.demote()
    if (!arriving.isWhole) return
    this.#arriving = null
    this.bodySinceMs = undefined
    if (this.#serve(arriving.reserved.bytes, arriving.reserved, rest) && rest.length > 0) this.#take(rest)
  }

  /** Answers the requests that `bytes` begin with, up to the first that is not for the fast path. */
  #take(bytes: Buffer): void {
    for (let at = 0; at < bytes.length; ) {
      if (this.isAnswering || this.socket.writableNeedDrain) {
        this.#wait(bytes.subarray(at))
        return
      }
      const known = this.#recognise(bytes, at)
      // Admission is decided before the body, as by Fastify's first hook.
      const isAdmitted = known !== undefined && this.#exits.admits(known.head)
      const reserved = isAdmitted ? this.#pinBody(known.head, bytes, at) : null
      if (known === undefined || reserved === null) {
        this.#demoteWith(null, bytes.subarray(at))
        return
      }
      if (reserved === 'arriving') return
      const bodyAt = at + known.head.headBytes
      at = bodyAt + known.head.bodyBytes
      const body = reserved === 'here' ? bytes.subarray(bodyAt, at) : reserved.bytes
      if (!this.#serve(body, reserved === 'here' ? null : reserved, bytes.subarray(at))) return
    }
  }

  /**
   * The place of the body of the request at `at`: here in `bytes`, in memory of its own, or arriving there.
   * null: the request is not for the fast path.
   */
  #pinBody(head: FastPathHead, bytes: Buffer, at: number): ReservedBody | 'here' | 'arriving' | null {
    const isWhole = at + head.headBytes + head.bodyBytes <= bytes.length
    if (isWhole && head.route === 'lookup') return 'here'
    const reserved = this.#exits.reserve(head)
    if (reserved === null) return null
    const arriving = new ArrivingBody(reserved)
    arriving.add(bytes.subarray(at + head.headBytes))
    if (isWhole) return reserved
    this.#arriving = arriving
    this.bodySinceMs = this.heardAtMs
    return 'arriving'
  }

  /** Answers the request whose head is known. False: Fastify has it now, and all that follow it. */
  #serve(body: Buffer, reserved: ReservedBody | null, rest: Buffer): boolean {
    const known = this.#known as KnownHead
    const served = this.#exits.serve(known, body)
    if (served instanceof Promise) {
      this.isAnswering = true
      void served.then((answer) => this.#finish(known, answer, reserved))
      return true
    }
    if (served === null) this.#demoteWith(reserved, known.bytes, body, rest)
    else {
      this.#write(served)
      reserved?.release()
    }
    return served !== null
  }

  /** Sends an answer that took time, and goes on with the requests behind it. */
  #finish(known: KnownHead, answer: ResponseBuffer | null, reserved: ReservedBody | null): void {
    this.isAnswering = false
    if (answer === null && !this.socket.destroyed)
      return this.#demoteWith(reserved, known.bytes, reserved?.bytes, this.#unread)
    if (this.socket.destroyed) answer?.release()
    else if (answer !== null) this.#write(answer)
    reserved?.release()
    if (!this.socket.destroyed) this.#goOn()
  }

  #write({ bytes, release }: ResponseBuffer): void {
    // write() is cheaper without a callback; without one, the garbage collector reclaims the buffer.
    if (release === releaseToCollector) this.socket.write(bytes)
    else this.socket.write(bytes, release)
  }

  #recognise(bytes: Buffer, at: number): KnownHead | undefined {
    const known = this.#known
    if (known !== undefined) {
      const end = at + known.bytes.length
      if (end <= bytes.length && bytes.compare(known.bytes, 0, known.bytes.length, at, end) === 0)
        return known
    }
    this.#known = this.#exits.readHead(bytes.subarray(at))
    return this.#known
  }

  #wait(unread: Buffer): void {
    this.#unread = Buffer.from(unread)
    this.socket.pause()
    if (!this.isAnswering) this.socket.once('drain', this.#goOn)
  }

  /** Goes on with the requests that waited. */
  readonly #goOn = (): void => {
    const unread = this.#unread
    this.heardAtMs = this.#exits.nowMs()
    if (unread !== undefined) {
      this.#unread = undefined
      this.socket.resume()
      this.#take(unread)
    }
    if (!this.isIdle || this.#hasLeft) return
    if (this.#closesAfterwards) this.close()
    else if (this.#hasEnded) this.socket.end()
  }

  #forgetBody(): void {
    this.#arriving?.reserved.release()
    this.#arriving = null
    this.bodySinceMs = undefined
  }

  readonly #onEnd = (): void => {
    this.#hasEnded = true
    if (this.#arriving !== null) this.demote()
    else if (!this.isAnswering) this.socket.end()
  }

  readonly #onClose = (): void => {
    this.#exits.forget(this)
    this.#forgetBody()
  }

  readonly #onError = (): void => void this.socket.destroy()
}
