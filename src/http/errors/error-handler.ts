/** Answers errors: refusals as problems, other errors as INTERNAL. */
import type { IncomingMessage } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { GatherdError } from '../../core/errors.ts'
import { LIMITS } from '../../core/limits.ts'
import { isClosing, watchDroppedBody } from '../connection/close-connection.ts'
import { isHeldBack } from '../connection/expectations.ts'
import type { App } from '../context.ts'
import { formatsOf, methodsOf, type Route } from '../define-route.ts'
import { FORMAT_MEDIA_TYPES } from '../negotiate.ts'
import { HttpRefusal, renderProblem } from './problem.ts'

/** The errors of Fastify that a client can cause. Any other is an internal error. */
const FASTIFY_REFUSALS: Readonly<Record<string, () => GatherdError>> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: () =>
    new GatherdError(
      'UNSUPPORTED_MEDIA_TYPE',
      'the Content-Type is malformed, or this route does not accept it',
    ),
  FST_ERR_CTP_BODY_TOO_LARGE: () =>
    new GatherdError('BODY_TOO_LARGE', 'the body is larger than this route accepts'),
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: () =>
    new GatherdError('MALFORMED_BODY', 'the body does not have the length that Content-Length announced'),
  FST_ERR_ROUTE_MISSING_CONTENT_TYPE: () =>
    new GatherdError('INVALID_REQUEST', 'QUERY needs a body and its Content-Type'),
  FST_ERR_BAD_URL: () =>
    new GatherdError('INVALID_REQUEST', 'the path has a % without two hexadecimal digits'),
  FST_ERR_MAX_PARAM_LENGTH: () =>
    new HttpRefusal(414, 'INVALID_REQUEST', `the URL has at most ${LIMITS.urlBytesMax} bytes`),
}

/** Returns the refusal that an error stands for; undefined for an internal error. */
const toRefusal = (error: unknown): GatherdError | undefined => {
  if (error instanceof GatherdError) return error
  const code = (error as { code?: unknown } | null)?.code
  return typeof code === 'string' && Object.hasOwn(FASTIFY_REFUSALS, code)
    ? FASTIFY_REFUSALS[code]()
    : undefined
}

/**
 * Answers any error as a problem and logs it: internal errors with their stack at level error, refusals at
 * level debug.
 */
export const answerError = (error: unknown, request: FastifyRequest, reply: FastifyReply): void => {
  const refusal = toRefusal(error)
  if (refusal === undefined) {
    request.log.error(
      { reqId: request.id, err: error, method: request.method, url: cutUrl(request.url) },
      'a request failed: internal server error',
    )
    sendProblem(
      new GatherdError('INTERNAL', `internal server error, logged under the request id ${request.id}`),
      request,
      reply,
    )
    return
  }
  request.log.debug(
    { reqId: request.id, err: refusal, method: request.method, url: cutUrl(request.url) },
    'refused',
  )
  sendProblem(refusal, request, reply)
}

const cutUrl = (url: string): string => (url.length > 256 ? `${url.slice(0, 256)}...` : url)

/** Sends a refusal as application/problem+json. */
const sendProblem = (refusal: GatherdError, request: FastifyRequest, reply: FastifyReply): void => {
  const { status, headers, body } = renderProblem(refusal, request.id)
  for (const name of Object.keys(reply.getHeaders())) if (DESCRIBES_BODY.has(name)) reply.removeHeader(name)
  drainBody(request.raw, reply)
  // A Buffer, because Fastify adds a charset to text, which this media type does not have.
  void reply.status(status).headers(headers).send(Buffer.from(body))
}

/** The headers about a body, which a handler may have set before it failed. */
const DESCRIBES_BODY = new Set([
  'content-length',
  'content-disposition',
  'etag',
  'x-shape',
  'x-dtype',
  'x-table-version',
  'x-table-sequence',
])

/**
 * Reads and drops the rest of the body after the answer, so that its sender comes to read the answer. The
 * connection stays usable, unless it was to end with this answer.
 */
const drainBody = (raw: IncomingMessage, reply: FastifyReply): void => {
  // A client that was not asked for its body may send it or not, so what follows cannot be told.
  if (!reply.raw.shouldKeepAlive || isHeldBack(raw)) reply.header('connection', 'close')
  // Fastify sets it after every body that it could not read.
  else if (reply.hasHeader('connection')) reply.removeHeader('connection')
  if (raw.complete) return
  reply.raw.once('finish', () => {
    const { socket } = raw
    // A connection that ends drops what still arrives by itself.
    if (raw.complete || raw.destroyed || isClosing(socket)) return
    const unwatch = watchDroppedBody(socket)
    raw.once('end', unwatch).once('close', unwatch).resume()
  })
}

/** Answers 404, or 405 with `Allow` where the path has other methods, and OPTIONS with the methods. */
export const answerUnknownRoute = (
  app: App,
  routes: readonly Route[],
  request: FastifyRequest,
  reply: FastifyReply,
): void => {
  const path = request.url.split('?', 1)[0]
  const methods = app.supportedMethods.filter((method) => app.findRoute({ method, url: path }) !== null)
  // If a route has the method and still does not know the path, it is that of the static files.
  if (methods.length === 0 || methods.includes(request.method)) {
    answerError(new GatherdError('ROUTE_NOT_FOUND', `there is nothing at ${cutUrl(path)}`), request, reply)
    return
  }
  const allow = methods.join(', ')
  if (methods.includes('QUERY')) reply.header('accept-query', listQueryTypes(routes, path))
  if (request.method === 'OPTIONS') {
    drainBody(request.raw, reply)
    void reply.status(204).header('allow', allow).send()
    return
  }
  const detail = `${request.method} is not among the methods of ${cutUrl(path)}: ${allow}`
  answerError(new GatherdError('METHOD_NOT_ALLOWED', detail, { headers: { allow } }), request, reply)
}

/** Accept-Query (RFC 10008): the types of bodies that the QUERY route at `path` reads. */
const listQueryTypes = (routes: readonly Route[], path: string): string => {
  const route = routes.find((one) => methodsOf(one).includes('QUERY') && matchesPath(one.url, path))
  const formats = route === undefined ? [] : formatsOf(route)
  return formats.map((format) => `"${FORMAT_MEDIA_TYPES[format]}"`).join(', ')
}

const matchesPath = (url: string, path: string): boolean => {
  const parts = path.split('/')
  const pattern = url.split('/')
  return pattern.length === parts.length && pattern.every((part, i) => part[0] === ':' || part === parts[i])
}
