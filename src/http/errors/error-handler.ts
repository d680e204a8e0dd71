import { STATUS_CODES, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { GatherdError } from '../../core/errors.ts'
import { LIMITS } from '../../core/limits.ts'
import type { App } from '../context.ts'
import { ARRAYS_FORMATS, listMediaTypes, LOOKUP_FORMATS } from '../negotiate.ts'
import { HttpRefusal, renderProblem } from './problem.ts'

/** The errors of Fastify that a client can cause. What is not here is our mistake. */
const FASTIFY_REFUSALS: Readonly<Record<string, () => GatherdError>> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: () =>
    new GatherdError(
      'UNSUPPORTED_MEDIA_TYPE',
      'the Content-Type cannot be read, or is none that is read here',
    ),
  FST_ERR_CTP_BODY_TOO_LARGE: () =>
    new GatherdError('BODY_TOO_LARGE', 'the body is larger than this route takes'),
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: () =>
    new GatherdError('MALFORMED_BODY', 'the body has not the length that Content-Length announced'),
  FST_ERR_ROUTE_MISSING_CONTENT_TYPE: () =>
    new GatherdError('INVALID_REQUEST', 'QUERY needs a body and its Content-Type'),
  FST_ERR_BAD_URL: () => new GatherdError('INVALID_REQUEST', 'the path has a % that begins no character'),
  FST_ERR_MAX_PARAM_LENGTH: () =>
    new HttpRefusal(414, 'INVALID_REQUEST', `the URL has at most ${LIMITS.urlBytesMax} bytes`),
}

/** The refusal that an error stands for; undefined: a mistake of the server. */
const toRefusal = (error: unknown): GatherdError | undefined => {
  if (error instanceof GatherdError) return error
  const code = (error as { code?: unknown } | null)?.code
  return typeof code === 'string' && Object.hasOwn(FASTIFY_REFUSALS, code)
    ? FASTIFY_REFUSALS[code]()
    : undefined
}

/**
 * Answers any error as a problem, and logs it: our mistakes with their stack, a client's only for who debugs.
 */
export const answerError = (error: unknown, request: FastifyRequest, reply: FastifyReply): void => {
  const refusal = toRefusal(error)
  if (refusal === undefined) {
    request.log.error(
      { reqId: request.id, err: error, method: request.method, url: cutUrl(request.url) },
      'a request failed by a mistake of the server',
    )
    sendProblem(
      new GatherdError('INTERNAL', `a mistake of the server, logged under the request id ${request.id}`),
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
  letBodyRunDry(request.raw, reply)
  // A Buffer: for text Fastify would add a charset, which this media type does not have.
  void reply.status(status).headers(headers).send(Buffer.from(body))
}

/** Headers that the answer may have had before it became an error. */
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
 * A connection closed while the client still sends makes its system throw the answer away. So it stays open
 * and the rest of the body is read and dropped, for a while.
 */
const letBodyRunDry = (raw: IncomingMessage, reply: FastifyReply): void => {
  if (raw.complete) return
  if (reply.hasHeader('connection')) reply.removeHeader('connection')
  reply.raw.once('finish', () => {
    if (raw.complete || raw.destroyed) return
    raw.resume()
    const timer = setTimeout(() => raw.destroy(), LIMITS.lingerMs)
    timer.unref()
    raw.once('end', () => clearTimeout(timer)).once('close', () => clearTimeout(timer))
  })
}

/** 404, or 405 with `Allow` where the path has other methods; OPTIONS tells them. */
export const answerUnknownRoute = (app: App, request: FastifyRequest, reply: FastifyReply): void => {
  const path = request.url.split('?', 1)[0]
  const methods = app.supportedMethods.filter((method) => app.findRoute({ method, url: path }) !== null)
  // A route that has the method and still does not know the path is one of files.
  if (methods.length === 0 || methods.includes(request.method)) {
    answerError(new GatherdError('ROUTE_NOT_FOUND', `there is nothing at ${cutUrl(path)}`), request, reply)
    return
  }
  const allow = methods.join(', ')
  if (methods.includes('QUERY')) reply.header('accept-query', queryTypes(path))
  if (request.method === 'OPTIONS') {
    letBodyRunDry(request.raw, reply)
    void reply.status(204).header('allow', allow).send()
    return
  }
  const detail = `${request.method} is not among the methods of ${cutUrl(path)}: ${allow}`
  answerError(new GatherdError('METHOD_NOT_ALLOWED', detail, { headers: { allow } }), request, reply)
}

/** Accept-Query (RFC 10008): a lookup of several tables needs a format with names. */
const queryTypes = (path: string): string =>
  listMediaTypes(path === '/v1/lookup' ? ARRAYS_FORMATS : LOOKUP_FORMATS)
    .map((type) => `"${type}"`)
    .join(', ')

/** The error of Node's parser for bytes that are no HTTP. */
interface ParserError extends Error {
  code?: string
}

/** Answers bytes that break HTTP, then closes the connection. What came before them is answered first. */
export const answerClientError = (error: ParserError, socket: Socket, requestId: string): void => {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  // The answer that the connection waits for, by Node's own note: there is no public one.
  const pending = (socket as { _httpMessage?: ServerResponse | null })._httpMessage
  if (pending?.req.complete && !pending.writableFinished) {
    pending.once('finish', () => answerClientError(error, socket, requestId))
    return
  }
  const isInBody = pending !== undefined && pending !== null && !pending.req.complete
  if (!(isInBody && pending.headersSent)) socket.write(renderRaw(toClientRefusal(error, isInBody), requestId))
  socket.destroySoon()
}

const renderRaw = (refusal: GatherdError, requestId: string): string => {
  const { status, headers, body } = renderProblem(refusal, requestId)
  const lines = Object.entries({
    ...headers,
    connection: 'close',
    'content-length': String(Buffer.byteLength(body)),
  })
  return `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${body}`
}

const toClientRefusal = (error: ParserError, isInBody: boolean): GatherdError => {
  if (isInBody) {
    const cut = error.code === 'HPE_INVALID_EOF_STATE'
    return new GatherdError(
      'MALFORMED_BODY',
      cut ? 'the body ended before its announced end' : 'the chunks of the body are malformed',
    )
  }
  if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT') {
    return new HttpRefusal(
      408,
      'INVALID_REQUEST',
      `the head of a request must be complete after ${LIMITS.headersTimeoutMs} ms`,
    )
  }
  if (error.code === 'HPE_HEADER_OVERFLOW') {
    return new HttpRefusal(
      431,
      'INVALID_REQUEST',
      `the head of a request has at most ${LIMITS.headerBytesMax} bytes`,
    )
  }
  return new GatherdError('INVALID_REQUEST', 'this is no HTTP/1.1 request')
}
