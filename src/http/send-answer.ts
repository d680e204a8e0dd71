import type { FastifyReply } from 'fastify'
import type { ResponseBuffer } from '../lookup/buffers.ts'
import { type Answer, arrayHeaders } from '../lookup/encode.ts'
import { stateHeaders } from './state-headers.ts'

/** Sends recycled memory; it is given back when the socket has taken it. */
export const sendBuffer = (reply: FastifyReply, body: ResponseBuffer, mediaType: string): FastifyReply => {
  reply.header('content-type', mediaType)
  reply.header('cache-control', 'no-store')
  // Without `finish` the socket may still hold the bytes: then the collector has them.
  reply.raw.once('finish', body.release)
  return reply.send(body.bytes)
}

/** Sends the answer about one table, with the state that it is about; a binary one says its shape and dtype. */
export const sendAnswer = (reply: FastifyReply, answer: Answer, encoding: string): FastifyReply => {
  reply.headers(stateHeaders(answer.version, answer.sequence))
  if (encoding !== 'json') reply.headers(arrayHeaders(answer))
  return sendBuffer(reply, answer.body, answer.mediaType)
}
