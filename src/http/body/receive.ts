/** Adds the Fastify parsers for the bodies that a route declares, to the scope that belongs to the route. */
import type { IncomingMessage } from 'node:http'
import type { FastifyRequest } from 'fastify'
import { GatherdError, refuse } from '../../core/errors.ts'
import { checkBodyDigest, parseContentDigest } from '../../formats/digest.ts'
import { quoteText } from '../../formats/scanner.ts'
import type { App, HttpContext } from '../context.ts'
import { formatsOf, type Route } from '../define-route.ts'
import { FORMAT_MEDIA_TYPES, type Format, listMediaTypes } from '../negotiate.ts'
import { collectInArena, releaseWithResponse } from './arena-bodies.ts'
import { readChunks } from './body-stream.ts'
import { type BodyDone, BodyChunks, collectBody } from './collect-body.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The format whose parser has read the body; undefined without a body, or for one of any type. */
    bodyFormat?: Format
  }
}

/**
 * Makes the route of `scope` accept the bodies that it declares. A body of another type or without a type is
 * refused (UNSUPPORTED_MEDIA_TYPE), and so is a missing body (MALFORMED_BODY).
 */
export const acceptBodies = (scope: App, context: HttpContext, route: Route): void => {
  const { accepts, bodyBytesMax = 0, verifiesDigest = false } = route
  if (accepts === undefined) return
  if (accepts === 'nothing') return acceptNoBody(scope)
  if (accepts === 'bytes') return acceptAnyBody(scope, context.settings.bodyBytesPerSecondMin)
  const { whole = [], streamed = [], inArena = false } = accepts
  const { stalls, settings } = context
  const { bodyBytesPerSecondMin: bytesPerSecondMin } = settings
  for (const format of whole) {
    addParser(scope, format, (request, payload, done) => {
      const announcedBytes = Number(request.headers['content-length'] ?? NaN)
      const limits = { announcedBytes, bytesMax: bodyBytesMax, bytesPerSecondMin, stalls }
      // A body of unannounced length cannot get memory in the arena before it has arrived.
      if (inArena && announcedBytes <= bodyBytesMax)
        collectInArena(request, payload, context.lookups.updateBodies, limits, done)
      else collectBody(payload, limits, new BodyChunks(), done)
    })
  }
  for (const format of streamed)
    addParser(scope, format, (_request, payload, done) => done(null, readChunks(payload, bytesPerSecondMin)))
  if (inArena) releaseWithResponse(scope)
  refuseOtherTypes(scope, formatsOf(route))
  refuseNoBody(scope)
  if (whole.length > 0 && !verifiesDigest) refuseOtherDigests(scope)
}

/**
 * Refuses whole bodies that are not those of their `Content-Digest` (DIGEST_MISMATCH). Routes that verify the
 * digests of streams compare them by themselves.
 */
const refuseOtherDigests = (scope: App): void => {
  scope.addHook('preValidation', ({ headers, body }, _reply, done) => {
    const header = headers['content-digest']
    if (header !== undefined && Buffer.isBuffer(body))
      checkBodyDigest(body, parseContentDigest(String(header)))
    done()
  })
}

type Parse = (request: FastifyRequest, payload: IncomingMessage, done: BodyDone) => void

const addParser = (scope: App, format: Format, parse: Parse): void => {
  scope.addContentTypeParser(FORMAT_MEDIA_TYPES[format], (request, payload, done) => {
    checkBodyHeaders(request)
    request.bodyFormat = format
    parse(request, payload, done)
  })
}

/** Refuses requests of `scope` that come without a body. */
const refuseNoBody = (scope: App): void => {
  scope.addHook('preValidation', (request, _reply, done) =>
    done(request.body === undefined ? refuseEmpty() : undefined),
  )
}

/** Accepts a body of any type, or without a type, as chunks while it arrives. */
const acceptAnyBody = (scope: App, bytesPerSecondMin: number): void => {
  scope.addContentTypeParser('*', (request: FastifyRequest, payload: IncomingMessage, done: BodyDone) => {
    checkBodyHeaders(request)
    done(null, readChunks(payload, bytesPerSecondMin))
  })
  refuseNoBody(scope)
}

/** Refuses bodies, but accepts a Content-Type without a body, which some clients send. */
const acceptNoBody = (scope: App): void => {
  scope.addContentTypeParser('*', (request: FastifyRequest, _payload: unknown, done: BodyDone) => {
    const { 'content-length': length, 'transfer-encoding': coding } = request.headers
    const isEmpty = coding === undefined && (length === undefined || Number(length) === 0)
    done(
      isEmpty ? null : new GatherdError('INVALID_REQUEST', `${request.method} takes no body here; send none`),
    )
  })
}

/** Refuses bodies of `scope` that come in none of `formats` (UNSUPPORTED_MEDIA_TYPE). */
const refuseOtherTypes = (scope: App, formats: readonly Format[]): void => {
  scope.addContentTypeParser('*', (request: FastifyRequest) => {
    const contentType = request.headers['content-type']
    const types = listMediaTypes(formats).join(', ')
    return refuse(
      'UNSUPPORTED_MEDIA_TYPE',
      contentType === undefined
        ? `the body has no Content-Type; send one of ${types}`
        : `Content-Type is ${quoteText(contentType)}; send one of ${types}`,
    )
  })
}

/**
 * Refuses requests that Node and Fastify would accept: encoded bodies, which would be stored without being
 * decoded, and two types for one body.
 */
const checkBodyHeaders = (request: FastifyRequest): void => {
  const encoding = request.headers['content-encoding']
  if (encoding !== undefined && encoding.trim().toLowerCase() !== 'identity') {
    refuse(
      'UNSUPPORTED_MEDIA_TYPE',
      `Content-Encoding is ${quoteText(encoding)}; send the body without encoding (identity)`,
    )
  }
  const { rawHeaders } = request.raw
  let types = 0
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (rawHeaders[i].length === 12 && rawHeaders[i].toLowerCase() === 'content-type') types++
  }
  if (types > 1) refuse('UNSUPPORTED_MEDIA_TYPE', 'the request has more than one Content-Type; send one')
}

const refuseEmpty = (): Error =>
  new GatherdError('MALFORMED_BODY', 'the request has no body; this route needs one')
