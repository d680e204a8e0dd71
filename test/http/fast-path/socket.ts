/** A connection without a network, on which tests decide when bytes arrive and when the client reads. */

import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import type { App } from '../../../src/http/context.ts'

/**
 * The server's end of a connection in memory. It implements what a server uses of a socket, and records its
 * writes.
 */
export class MemorySocket extends Duplex {
  readonly #sent: Buffer[] = []
  /** Whether the client reads. */
  #isReading = true
  #untaken: (() => void) | undefined

  constructor(app: App) {
    super({ allowHalfOpen: true })
    app.server.emit('connection', this as unknown as Socket)
  }

  override _read(): void {}

  override _write(chunk: Buffer | string, encoding: BufferEncoding, done: () => void): void {
    const take = (): void => {
      this.#sent.push(typeof chunk === 'string' ? Buffer.from(chunk, encoding) : Buffer.from(chunk))
      done()
    }
    if (this.#isReading) take()
    else this.#untaken = take
  }

  /** Makes the client stop reading, so that the next write waits. */
  stall(): void {
    this.#isReading = false
  }

  /** Makes the client read everything again. */
  takeAll(): void {
    this.#isReading = true
    this.#untaken?.()
    this.#untaken = undefined
  }

  destroySoon(): void {
    if (this.writable) this.end()
    if (this.writableFinished) this.destroy()
    else this.once('finish', () => this.destroy())
  }

  setTimeout(): this {
    return this
  }

  setKeepAlive(): this {
    return this
  }

  /** All bytes that the server has written. */
  get sent(): Buffer {
    return Buffer.concat(this.#sent)
  }

  /** Whether the server has ended the connection. */
  get isClosed(): boolean {
    return this.destroyed || this.writableEnded
  }
}
