/** Answers bytes that are not a request that node:http hands to Fastify, on the socket itself. */
import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { GatherdError } from '../../core/errors.ts'
import { LIMITS } from '../../core/limits.ts'
import { isClosing } from '../connection/close-connection.ts'
import { answerInProgress } from '../connection/server-sockets.ts'
import { REFUSALS } from '../admit.ts'
import { HttpRefusal, renderProblem } from './problem.ts'

/** An error of Node's parser about bytes that are not HTTP, or of the connection itself. */
interface ParserError extends Error {
  code?: string
  reason?: string
  /** The bytes that were being read. */
  rawPacket?: unknown
}

/** The end of a request line whose version is not one of ours. */
const OTHER_VERSION = / HTTP\/(?!1\.[01]\r)\d+(?:\.\d+)?\r\n/

/** Answers bytes that are not HTTP, after the requests before them, and closes the connection. */
export const answerClientError = (error: ParserError, socket: Socket, requestId: string): void => {
  const { code = '' } = error
  if (!socket.writable || !(code.startsWith('HPE_') || code === 'ERR_HTTP_REQUEST_TIMEOUT')) {
    // What arrives after the end of the connection is dropped, and the last answer may be on its way.
    if (!isClosing(socket)) socket.destroy()
    return
  }
  // The client said that nothing follows; the answer to its last request ends the connection.
  if (code === 'HPE_CLOSED_CONNECTION' && answerInProgress(socket) !== null) return
  afterAnswers(socket, () => {
    const pending = answerInProgress(socket)
    const isInBody = pending !== null && !pending.req.complete
    if (!(isInBody && pending.headersSent)) write(socket, toClientRefusal(error, isInBody), requestId)
    socket.destroySoon()
  })
}

/** Answers CONNECT, which asks for a tunnel (RFC 9110, 9.3.6): there is none. */
export const answerConnect = (socket: Socket, requestId: string): void => {
  // node:http has removed its own listener.
  socket.on('error', () => socket.destroy())
  const refusal = new GatherdError('METHOD_NOT_ALLOWED', 'CONNECT is not served: this is no proxy', {
    // No method is allowed on the target of a CONNECT.
    headers: { allow: '' },
  })
  afterAnswers(socket, () => {
    write(socket, refusal, requestId)
    socket.destroySoon()
  })
}

/** Runs `act` when the requests before have been answered, unless the connection ends with them. */
const afterAnswers = (socket: Socket, act: () => void): void => {
  const pending = answerInProgress(socket)
  if (pending !== null && pending.req.complete && !pending.writableFinished)
    pending.once('finish', () => afterAnswers(socket, act))
  else if (socket.writable) act()
  else if (!isClosing(socket)) socket.destroy()
}

const write = (socket: Socket, refusal: GatherdError, requestId: string): void => {
  const { status, headers, body } = renderProblem(refusal, requestId)
  const lines = Object.entries({
    ...headers,
    connection: 'close',
    'content-length': String(Buffer.byteLength(body)),
    Date: new Date().toUTCString(),
  })
  const head = lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')
  socket.write(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${head}\r\n${body}`)
}

const toClientRefusal = (error: ParserError, isInBody: boolean): GatherdError => {
  const { code = '', reason = '', rawPacket } = error
  if (isInBody) {
    return new GatherdError(
      'MALFORMED_BODY',
      code === 'HPE_INVALID_EOF_STATE'
        ? 'the body ended before its announced end'
        : 'the chunks of the body are malformed',
    )
  }
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') {
    return new HttpRefusal(
      408,
      'INVALID_REQUEST',
      `the head of a request must be complete after ${LIMITS.headersTimeoutMs} ms`,
    )
  }
  if (code === 'HPE_HEADER_OVERFLOW') {
    return new HttpRefusal(
      431,
      'INVALID_REQUEST',
      `the head of a request has at most ${LIMITS.headerBytesMax} bytes`,
    )
  }
  // A line that ends in LF alone is refused as a wrong version, too.
  const isOtherVersion = code === 'HPE_INVALID_VERSION' && OTHER_VERSION.test(String(rawPacket))
  if (isOtherVersion || code === 'HPE_PAUSED_H2_UPGRADE') return refusalOf('versionUnknown')
  if (reason.includes('Content-Length') && reason.includes('Transfer-Encoding'))
    return new GatherdError('INVALID_REQUEST', 'the request has both Content-Length and Transfer-Encoding')
  if (code === 'HPE_INVALID_TRANSFER_ENCODING') return refusalOf('codingUnknown')
  return new GatherdError('INVALID_REQUEST', 'these bytes are not an HTTP/1.1 request')
}

const refusalOf = (refusal: 'versionUnknown' | 'codingUnknown'): GatherdError => {
  const { code, detail = '' } = REFUSALS[refusal]
  return new GatherdError(code, detail)
}
