import type { IncomingMessage } from 'node:http'
import type { FastifyRequest } from 'fastify'
import { GatherdError, refuse } from '../../core/errors.ts'
import { LIMITS } from '../../core/limits.ts'
import { quoteText } from '../../formats/scanner.ts'
import { readChunks, refuseCut, refuseSlow } from './body-stream.ts'
import type { App } from '../context.ts'
import { watchStall } from './stall-watch.ts'
import { FORMAT_MEDIA_TYPES, type Format } from '../negotiate.ts'

/**
 * Makes the routes of `scope` take bodies of these formats: `whole` as a Buffer of at most `bytesMax` bytes, `streamed` as chunks while
 * they are being sent, at any length. Any other type, and none, is refused (UNSUPPORTED_MEDIA_TYPE); so is no body at all.
 */
export const acceptBodies = (
  scope: App,
  whole: readonly Format[],
  bytesMax: number,
  streamed: readonly Format[] = [],
): void => {
  for (const format of whole) {
    scope.addContentTypeParser(FORMAT_MEDIA_TYPES[format], (request, payload, done) => {
      checkBodyHeaders(request)
      collectBody(payload, Number(request.headers['content-length'] ?? NaN), bytesMax, new BodyChunks(), done)
    })
  }
  for (const format of streamed) {
    scope.addContentTypeParser(FORMAT_MEDIA_TYPES[format], (request, payload, done) => {
      checkBodyHeaders(request)
      done(null, readChunks(payload))
    })
  }
  refuseOtherTypes(scope, [...whole, ...streamed])
  refuseNoBody(scope)
}

/** Refuses requests of `scope` that come without a body. */
export const refuseNoBody = (scope: App): void => {
  scope.addHook('preValidation', (request, _reply, done) =>
    done(request.body === undefined ? refuseEmpty() : undefined),
  )
}

/** Makes the routes of `scope` take a body of any type, or of none, as chunks while it is being sent. No body at all is refused. */
export const acceptAnyBody = (scope: App): void => {
  scope.addContentTypeParser(
    '*',
    (request: FastifyRequest, payload: IncomingMessage, done: (error: null, body: unknown) => void) => {
      checkBodyHeaders(request)
      done(null, readChunks(payload))
    },
  )
  refuseNoBody(scope)
}

/** For routes without a body. Clients that send a type with nothing under it mean no harm. */
export const acceptNoBody = (scope: App): void => {
  scope.addContentTypeParser(
    '*',
    (request: FastifyRequest, _payload: unknown, done: (error: Error | null) => void) => {
      const { 'content-length': length, 'transfer-encoding': coding } = request.headers
      const isEmpty = coding === undefined && (length === undefined || Number(length) === 0)
      done(isEmpty ? null : new GatherdError('INVALID_REQUEST', `${request.method} takes no body here`))
    },
  )
}

/** Refuses bodies of `scope` that are none of `formats` (UNSUPPORTED_MEDIA_TYPE). */
export const refuseOtherTypes = (scope: App, formats: readonly Format[]): void => {
  scope.addContentTypeParser('*', (request: FastifyRequest) => {
    const given = request.headers['content-type']
    const types = formats.map((format) => FORMAT_MEDIA_TYPES[format]).join(', ')
    return refuse(
      'UNSUPPORTED_MEDIA_TYPE',
      given === undefined
        ? `the body has no Content-Type; read are ${types}`
        : `Content-Type is ${quoteText(given)}; read are ${types}`,
    )
  })
}

/** Refuses what Node and Fastify let through: encoded bodies, which would be stored as they are, and two types for one body. */
export const checkBodyHeaders = (request: FastifyRequest): void => {
  const encoding = request.headers['content-encoding']
  if (encoding !== undefined && encoding.trim().toLowerCase() !== 'identity') {
    refuse(
      'UNSUPPORTED_MEDIA_TYPE',
      `Content-Encoding is ${quoteText(encoding)}; bodies are read as they are (identity)`,
    )
  }
  const { rawHeaders } = request.raw
  let types = 0
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (rawHeaders[i].length === 12 && rawHeaders[i].toLowerCase() === 'content-type') types++
  }
  if (types > 1) refuse('UNSUPPORTED_MEDIA_TYPE', 'there is more than one Content-Type')
}

/** Where the chunks of a body go. */
export interface Collector {
  add(chunk: Buffer): void
  finish(): Buffer
}

/** Keeps the chunks, and joins them in the end. */
export class BodyChunks implements Collector {
  readonly #chunks: Buffer[] = []

  add(chunk: Buffer): void {
    this.#chunks.push(chunk)
  }

  /** Each chunk is a copy made for us, so a body of one chunk needs no other. */
  finish(): Buffer {
    return this.#chunks.length === 1 ? this.#chunks[0] : Buffer.concat(this.#chunks)
  }
}

/**
 * Collects a body. `announcedBytes` is NaN when it comes in chunks. What is refused is not read further here: the answer goes out,
 * and whoever sends it lets the rest run dry.
 */
export const collectBody = (
  payload: IncomingMessage,
  announcedBytes: number,
  bytesMax: number,
  collector: Collector,
  done: (error: Error | null, body?: Buffer) => void,
): void => {
  if (announcedBytes > bytesMax) {
    done(refuseLarge(bytesMax))
    return
  }
  let receivedBytes = 0
  const stop = (error: Error): void => {
    unwatch()
    payload.off('data', onData).off('end', onEnd).off('error', onError)
    done(error)
  }
  const onData = (chunk: Buffer): void => {
    receivedBytes += chunk.length
    if (receivedBytes > bytesMax) stop(refuseLarge(bytesMax))
    else collector.add(chunk)
  }
  const onEnd = (): void => {
    unwatch()
    done(null, collector.finish())
  }
  const onError = (cause: Error): void => stop(refuseCut(cause))
  const waitMs =
    LIMITS.headersTimeoutMs +
    (Number.isNaN(announcedBytes) ? bytesMax : announcedBytes) / LIMITS.bodyBytesPerMsMin
  const unwatch = watchStall(performance.now() + waitMs, () => stop(refuseSlow(receivedBytes)))
  payload.on('data', onData).on('end', onEnd).on('error', onError)
}

const refuseEmpty = (): Error => new GatherdError('MALFORMED_BODY', 'the request has no body')
const refuseLarge = (bytesMax: number): Error =>
  new GatherdError('BODY_TOO_LARGE', `the body of this route has at most ${bytesMax} bytes`)
