import { Socket } from 'node:net'
import type { FastifyRequest } from 'fastify'
import type { ArenaShare, Region } from '../../tables/arena.ts'
import type { App } from '../context.ts'
import { FORMAT_MEDIA_TYPES, type Format } from '../negotiate.ts'
import {
  BodyChunks,
  checkBodyHeaders,
  collectBody,
  type Collector,
  refuseNoBody,
  refuseOtherTypes,
} from './receive.ts'

/** A body in an arena, for as long as somebody needs it: the response until it has ended, and whoever holds it beyond that. */
class ArenaBody {
  readonly #share: ArenaShare
  readonly #region: Region
  #holderCount = 0

  constructor(share: ArenaShare, region: Region) {
    this.#share = share
    this.#region = region
  }

  /** Holds it. What is returned lets go, once. */
  hold(): () => void {
    this.#holderCount++
    let isHeld = true
    return () => {
      if (!isHeld) return
      isHeld = false
      this.#holderCount--
      if (this.#holderCount === 0) this.#share.release(this.#region)
    }
  }
}

const bodies = new WeakMap<FastifyRequest, ArenaBody>()

/**
 * Keeps the body of a request where it is, also when the client goes away and the response ends: another thread may still read it. The
 * function returned lets go. For bodies of {@link acceptBodiesInto}; one of unannounced length is nobody else's anyway.
 */
export const pinBody = (request: FastifyRequest): (() => void) => bodies.get(request)?.hold() ?? (() => {})

/**
 * As `acceptBodies` of whole bodies, which are collected in a share of an arena when their length is announced: without garbage, and where kernels and
 * other threads can read them. They are there until the response has ended, or the client is gone.
 */
export const acceptBodiesInto = (
  scope: App,
  share: ArenaShare,
  whole: readonly Format[],
  bytesMax: number,
): void => {
  for (const format of whole) {
    scope.addContentTypeParser(FORMAT_MEDIA_TYPES[format], (request, payload, done) => {
      checkBodyHeaders(request)
      const announcedBytes = Number(request.headers['content-length'] ?? NaN)
      if (Number.isNaN(announcedBytes) || announcedBytes > bytesMax) {
        collectBody(payload, announcedBytes, bytesMax, new BodyChunks(), done)
        return
      }
      const region = share.reserve(announcedBytes)
      // What is injected comes from the caller's own memory.
      const chunks = new BodyInPlace(
        Buffer.from(share.arena.memory.buffer, region.at, announcedBytes),
        request.raw.socket instanceof Socket,
      )
      collectBody(payload, announcedBytes, bytesMax, chunks, (error, body) => {
        if (error === null) bodies.set(request, new ArenaBody(share, region))
        else share.release(region)
        done(error, body)
      })
    })
  }
  // The first hook after the body: from here on the response has it. It closes in any case, and finishes only when the client waits for it.
  scope.addHook('preValidation', (request, { raw }, done) => {
    const release = pinBody(request)
    raw.once('finish', release).once('close', release)
    if (raw.closed) release()
    done()
  })
  refuseOtherTypes(scope, whole)
  refuseNoBody(scope)
}

class BodyInPlace implements Collector {
  readonly #body: Buffer
  readonly #freesChunks: boolean
  #bytes = 0

  constructor(body: Buffer, freesChunks: boolean) {
    this.#body = body
    this.#freesChunks = freesChunks
  }

  /** Copies, and frees the chunk's memory at once: the garbage collector would come for it with every few bodies. */
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
