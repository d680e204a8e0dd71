import { Socket } from 'node:net'
import type { IncomingMessage } from 'node:http'
import type { FastifyRequest } from 'fastify'
import type { ArenaShare, Region } from '../../tables/arena.ts'
import type { App } from '../context.ts'
import { type BodyDone, type BodyLimits, collectBody, type Collector } from './collect-body.ts'

/**
 * Bodies of updates lie in the arena of the HTTP worker, where kernels and the writer read them in place:
 * without a copy, and without memory that the garbage collector would have to find.
 */

declare module 'fastify' {
  interface FastifyRequest {
    /** The body in the arena, if it lies there. */
    arenaBody?: ArenaBody
  }
}

/** A body in an arena. Its memory is released with the last pin: that of the response, or of an update. */
export class ArenaBody {
  readonly #share: ArenaShare
  readonly #region: Region
  #pinCount = 0

  constructor(share: ArenaShare, region: Region) {
    this.#share = share
    this.#region = region
  }

  /** Pins the body. The function returned unpins it; calling it again does nothing. */
  pin(): () => void {
    this.#pinCount++
    let isPinned = true
    return () => {
      if (!isPinned) return
      isPinned = false
      this.#pinCount--
      if (this.#pinCount === 0) this.#share.release(this.#region)
    }
  }
}

const unpinNothing = (): void => {}

/**
 * Pins the body of a request where it lies, because another thread may read it after the client has gone
 * and the response has ended. The function returned unpins it. Bodies outside the arena need no pin.
 */
export const pinBody = (request: FastifyRequest): (() => void) => request.arenaBody?.pin() ?? unpinNothing

/** Collects a body of announced length in `share`. It stays until the response ends, or the client leaves. */
export const collectInArena = (
  request: FastifyRequest,
  payload: IncomingMessage,
  share: ArenaShare,
  limits: BodyLimits,
  done: BodyDone,
): void => {
  const { announcedBytes } = limits
  const region = share.reserve(announcedBytes)
  const memory = Buffer.from(share.arena.memory.buffer, region.at, announcedBytes)
  // The memory of an injected request belongs to its caller.
  const chunks = new BodyInPlace(memory, request.raw.socket instanceof Socket)
  collectBody(payload, limits, chunks, (error, body) => {
    if (error === null) request.arenaBody = new ArenaBody(share, region)
    else share.release(region)
    done(error, body)
  })
}

/**
 * Makes the response pin the body, from the first hook after it. A response closes in any case; it
 * finishes only when the client waits for it.
 */
export const releaseWithResponse = (scope: App): void => {
  scope.addHook('preValidation', (request, { raw }, done) => {
    const unpin = pinBody(request)
    raw.once('finish', unpin).once('close', unpin)
    if (raw.closed) unpin()
    done()
  })
}

class BodyInPlace implements Collector {
  readonly #body: Buffer
  readonly #freesChunks: boolean
  #bytes = 0

  constructor(body: Buffer, freesChunks: boolean) {
    this.#body = body
    this.#freesChunks = freesChunks
  }

  /** Copies, and frees the chunk's memory at once: otherwise every few bodies start a collection. */
  add(chunk: Buffer): void {
    chunk.copy(this.#body, this.#bytes)
    this.#bytes += chunk.length
    const { buffer } = chunk
    if (this.#freesChunks && buffer instanceof ArrayBuffer && buffer.byteLength === chunk.length)
      buffer.transfer(0)
  }

  finish(): Buffer {
    return this.#body.subarray(0, this.#bytes)
  }
}
