/** Sends answers that are in memory as a whole, with the headers of the state that they are of. */
import type { OutgoingHttpHeaders } from 'node:http'
import type { FastifyReply } from 'fastify'
import { RAW } from '../../formats/format.ts'
import { releaseToCollector, type ResponseBuffer } from '../../lookup/buffers.ts'
import { type Answer, arrayHeaders } from '../../lookup/encode.ts'
import { entityTag } from '../../tables/precondition.ts'

/**
 * The headers of lookups, exports, updates and table descriptions that name the state of the table. `tag` is
 * the entity tag where the answer is not rows.
 */
export const stateHeaders = (
  version: number,
  sequence: number,
  tag: string = entityTag(version, sequence),
): Readonly<Record<'etag' | 'x-table-version' | 'x-table-sequence', string>> => ({
  etag: `"${tag}"`,
  'x-table-version': String(version),
  'x-table-sequence': String(sequence),
})

/**
 * Up to this size, a body sent as text together with its headers costs less than a second write
 * (docs/explanation/performance.md).
 */
const JOINED_BYTES_MAX = 4 * 1024

/** Sends a recycled buffer and releases it when the socket has taken it. */
export const sendBuffer = (reply: FastifyReply, body: ResponseBuffer, mediaType: string): FastifyReply => {
  reply.header('content-type', mediaType)
  reply.header('cache-control', 'no-store')
  // Without `finish` the socket may still read the bytes, so they are left to the collector.
  if (body.release !== releaseToCollector) reply.raw.once('finish', body.release)
  return reply.send(body.bytes)
}

/**
 * Sends the answer about one table with the headers of its state. A binary answer also has headers for its
 * shape and dtype.
 */
export const sendAnswer = (reply: FastifyReply, answer: Answer, encoding: string): FastifyReply => {
  if (encoding === RAW.name && answer.body.bytes.length <= JOINED_BYTES_MAX) return sendJoined(reply, answer)
  reply.headers(stateHeaders(answer.version, answer.sequence))
  if (encoding !== 'json') reply.headers(arrayHeaders(answer))
  return sendBuffer(reply, answer.body, answer.mediaType)
}

/** Sends the same bytes in one write: Node joins a text with the headers before it, but not a Buffer. */
const sendJoined = (reply: FastifyReply, answer: Answer): FastifyReply => {
  const { bytes, release } = answer.body
  const headers = Object.assign(
    reply.getHeaders() as OutgoingHttpHeaders,
    stateHeaders(answer.version, answer.sequence),
    arrayHeaders(answer),
    {
      'content-type': answer.mediaType,
      'cache-control': 'no-store',
      'content-length': String(bytes.length),
    },
  )
  reply.hijack()
  reply.raw.writeHead(reply.statusCode, headers).end(bytes.toString('latin1'), 'latin1')
  release()
  return reply
}
