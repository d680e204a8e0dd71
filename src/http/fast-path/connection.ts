/** Reads the requests of one connection for the fast path, up to the first that Fastify must answer. */
import type { Socket } from 'node:net'
import { releaseToCollector, type ResponseBuffer } from '../../lookup/buffers.ts'
import { closeConnection } from '../connection/close-connection.ts'
import { type AdoptedSocket, adoptSocket, type SocketReader } from './adopt-socket.ts'
import { ArrivingBody, type ReservedBody } from './arriving-body.ts'
import type { FastPathExits } from './exits.ts'
import { beginsWith, type KnownHead } from './known-heads.ts'
import type { FastPathHead } from './read-head.ts'

/**
 * A connection whose requests so far were all for the fast path. They are answered in order, each by one
 * write, before the next one is parsed. While the client does not read its answers, no more requests are
 * read.
 */
export class FastPathConnection implements SocketReader {
  readonly socket: Socket
  /** The time when the client last sent data or took some of an answer. */
  heardAtMs: number
  /** What the client had taken of the answers at the last look. */
  deliveredBytes = 0
  /** Whether the client has sent nothing yet. */
  isNew = true
  /** The time when the body that is arriving began; undefined when no body is arriving. */
  bodySinceMs: number | undefined
  readonly #exits: FastPathExits<FastPathConnection>
  readonly #adopted: AdoptedSocket | null
  /** The head of the last request. Clients repeat heads to the byte. */
  #known: KnownHead | undefined
  /** The body of a request that has not arrived as a whole. */
  #arriving: ArrivingBody | null = null
  /** Whether an answer is being made. */
  isAnswering = false
  /** Requests that are postponed until the client reads answers again, or until an answer is made. */
  #unread: Buffer | undefined
  #isDemoted = false
  #hasEnded = false
  #closesWhenIdle = false
  #isClosing = false

  constructor(accepted: Socket, exits: FastPathExits<FastPathConnection>) {
    this.#exits = exits
    this.heardAtMs = exits.nowMs()
    this.#adopted = adoptSocket(accepted, this)
    this.socket = this.#adopted?.socket ?? accepted
    if (this.#adopted === null) accepted.on('data', this.#onData)
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
    // Node's parser now reads the handle itself; bytes that still come here belong to the socket's listeners.
    if (this.#isDemoted || this.#isClosing) return this.socket.push(Buffer.from(bytes))
    this.#onData(bytes)
    return true
  }

  /** Hands the connection to Fastify for good, or closes it after the answer that is being made. */
  demote(): void {
    if (this.isAnswering) this.#closesWhenIdle = true
    else if (this.#arriving !== null) this.#demoteWith(null, this.#known?.bytes, this.#arriving.arrived)
    else this.#demoteWith(null, this.#unread)
  }

  /** Ends the connection when the pending answers have been sent. Later requests are dropped. */
  close(): void {
    const { socket } = this
    this.#exits.forget(this)
    this.#isClosing = true
    socket.off('drain', this.#continue)
    closeConnection(socket, this.#arriving !== null)
  }

  /**
   * Hands the connection to Fastify with the bytes that are not answered. `reserved` is released first,
   * because Fastify reserves memory for the same body.
   */
  #demoteWith(reserved: ReservedBody | null, ...unanswered: (Buffer | undefined)[]): void {
    const { socket } = this
    // The bytes are copied, because the next read overwrites their memory.
    const bytes = Buffer.concat(unanswered.filter((part) => part !== undefined))
    reserved?.release()
    this.#exits.forget(this)
    this.#isDemoted = true
    if (this.#arriving !== null) this.#adopted?.redirect(this.#exits.readBuffer)
    this.#forgetBody()
    socket
      .off('data', this.#onData)
      .off('end', this.#onEnd)
      .off('close', this.#onClose)
      .off('error', this.#onError)
    socket.off('drain', this.#continue)
    this.#exits.giveToFastify(socket)
    if (socket.isPaused()) socket.resume()
    // Node's parser listens for data even when it reads the handle itself.
    if (bytes.length > 0) socket.emit('data', bytes)
    // The new listeners were added after the end, so it is emitted again.
    if (this.#hasEnded) socket.emit('end')
  }

  readonly #onData = (bytes: Buffer): void => {
    this.heardAtMs = this.#exits.nowMs()
    this.isNew = false
    const arriving = this.#arriving
    if (arriving === null) {
      this.#serveAll(bytes)
      return
    }
    const { room } = arriving
    let rest = bytes.subarray(bytes.length)
    if (room.buffer === bytes.buffer && room.byteOffset === bytes.byteOffset) arriving.note(bytes.length)
    else rest = bytes.subarray(arriving.add(bytes))
    if (arriving.hasTooManyPieces) this.demote()
    if (!arriving.isWhole) return
    this.#arriving = null
    this.bodySinceMs = undefined
    if (this.#serve(arriving.reserved.bytes, arriving.reserved, rest) && rest.length > 0) this.#serveAll(rest)
  }

  /** Answers the requests that `bytes` begin with, up to the first that is not for the fast path. */
  #serveAll(bytes: Buffer): void {
    for (let at = 0; at < bytes.length; ) {
      if (this.isAnswering || this.socket.writableNeedDrain) {
        this.#postpone(bytes.subarray(at))
        return
      }
      const known = this.#recognise(bytes, at)
      // Admission is decided before the body, as by Fastify's first hook.
      const isAdmitted = known !== undefined && this.#exits.admits(known.head)
      const reserved = isAdmitted ? this.#reserveBody(known.head, bytes, at) : null
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
   * Finds the body of the request at `at`: 'here' in `bytes`, copied to memory of its own, or still arriving
   * there. null: the request is not for the fast path.
   */
  #reserveBody(head: FastPathHead, bytes: Buffer, at: number): ReservedBody | 'here' | 'arriving' | null {
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

  /** Answers the request whose head is known. Returns false when Fastify gets it, with all that follow it. */
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

  /** Sends an answer that was made asynchronously, and continues with the requests behind it. */
  #finish(known: KnownHead, answer: ResponseBuffer | null, reserved: ReservedBody | null): void {
    this.isAnswering = false
    if (answer === null && !this.socket.destroyed)
      return this.#demoteWith(reserved, known.bytes, reserved?.bytes, this.#unread)
    if (this.socket.destroyed) answer?.release()
    else if (answer !== null) this.#write(answer)
    reserved?.release()
    if (!this.socket.destroyed) this.#continue()
  }

  #write({ bytes, release }: ResponseBuffer): void {
    // write() is cheaper without a callback; without one, the garbage collector reclaims the buffer.
    if (release === releaseToCollector) this.socket.write(bytes)
    else this.socket.write(bytes, release)
  }

  #recognise(bytes: Buffer, at: number): KnownHead | undefined {
    const known = this.#known
    if (known !== undefined && beginsWith(bytes, at, known)) return known
    return (this.#known = this.#exits.readHead(bytes.subarray(at)))
  }

  #postpone(unread: Buffer): void {
    this.#unread = Buffer.from(unread)
    this.socket.pause()
    if (!this.isAnswering) this.socket.once('drain', this.#continue)
  }

  /** Continues with the postponed requests. */
  readonly #continue = (): void => {
    const unread = this.#unread
    this.heardAtMs = this.#exits.nowMs()
    if (unread !== undefined) {
      this.#unread = undefined
      this.socket.resume()
      this.#serveAll(unread)
    }
    if (!this.isIdle || this.#isDemoted) return
    if (this.#closesWhenIdle) this.close()
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
