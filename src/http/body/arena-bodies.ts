/**
 * Collects the bodies of updates in the arena of the HTTP worker. Kernels and the writer read them there
 * without a copy, and they add no work for the garbage collector.
 */
import { Socket } from 'node:net'
import type { IncomingMessage } from 'node:http'
import type { FastifyRequest } from 'fastify'
import type { ArenaShare, Region } from '../../tables/arena.ts'
import type { App } from '../context.ts'
import { type BodyDone, type BodyLimits, collectBody, type Collector } from './collect-body.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The body in the arena, if it lies there. */
    arenaBody?: ArenaBody
  }
}

/**
 * A body in an arena. Its memory is released with its last pin: that of the response, or that of an update.
 */
export class ArenaBody {
  readonly #share: ArenaShare
  readonly #region: Region
  #pinCount = 0

  constructor(share: ArenaShare, region: Region) {
    this.#share = share
    this.#region = region
  }

  /** Pins the body. The returned function unpins it; calling it again does nothing. */
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
 * Pins the body of a request, because another thread may read it after the client has left and the response
 * has ended. The returned function unpins it. A body outside the arena needs no pin.
 */
export const pinBody = (request: FastifyRequest): (() => void) => request.arenaBody?.pin() ?? unpinNothing

/**
 * Collects a body of announced length in `share`. It stays there until the response ends or the client
 * leaves.
 */
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
  // The chunks of an injected request belong to its caller, so their memory is not freed.
  const chunks = new BodyInPlace(memory, request.raw.socket instanceof Socket)
  collectBody(payload, limits, chunks, (error, body) => {
    if (error === null) request.arenaBody = new ArenaBody(share, region)
    else share.release(region)
    done(error, body)
  })
}

/**
 * Pins the body for the response in the first hook after the body was collected. Every response emits
 * `close`; it emits `finish` only if the client waits for it.
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

  /**
   * Copies the chunk and frees its memory at once; otherwise a garbage collection would start every few
   * bodies.
   */
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
