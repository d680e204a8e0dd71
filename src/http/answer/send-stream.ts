import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'
import type { FastifyReply } from 'fastify'
import { LIMITS } from '../../core/limits.ts'
import type { ResponseBuffer } from '../../lookup/buffers.ts'
import { arrayHeaders } from '../../lookup/encode.ts'
import type { StreamedAnswer } from '../../lookup/stream.ts'
import { watchStall } from '../body/stall-watch.ts'
import { stateHeaders } from './state-headers.ts'

/**
 * Sends a long answer: one piece is being gathered while the socket takes the one before it, and no more than
 * these two are held, however slow the client. A client that takes nothing of a piece for
 * `responseStallMsMax` is cut off; so is everybody when a piece cannot be had any more.
 */
export const sendStreamed = async (reply: FastifyReply, answer: StreamedAnswer): Promise<void> => {
  const { rows, head, tail, byteCount, mediaType, version, sequence } = answer
  const { raw } = reply
  const headers = Object.assign(
    reply.getHeaders() as OutgoingHttpHeaders,
    stateHeaders(version, sequence),
    arrayHeaders(answer),
    {
      'content-type': mediaType,
      'cache-control': 'no-store',
      'content-length': String(byteCount),
    },
  )
  reply.hijack()
  raw.writeHead(reply.statusCode, headers)
  let ahead = rows.next()
  try {
    if (head.length > 0) raw.write(head)
    for (let piece = await ahead; piece !== null; piece = await ahead) {
      ahead = rows.next()
      await writePiece(raw, piece)
    }
    if (tail.length > 0) raw.write(tail)
    raw.end()
  } catch (error) {
    // Headers are out: a broken connection is the only way to say that this is not the answer.
    raw.destroy()
    if (!raw.req.aborted) reply.log.warn({ err: error }, 'a long answer was broken off')
    ahead.then(
      (piece) => piece?.release(),
      () => {},
    )
  } finally {
    rows.close()
  }
}

/**
 * Resolves when the system has taken the piece; then its memory goes back. Rejects when the client is gone,
 * or stands still.
 */
const writePiece = (raw: ServerResponse, piece: ResponseBuffer): Promise<void> =>
  new Promise((resolve, reject) => {
    const unwatch = watchStall(performance.now() + LIMITS.responseStallMsMax, () => raw.destroy())
    const onClose = (): void => settle(new Error('the client is gone'))
    const settle = (error?: Error | null): void => {
      unwatch()
      raw.off('close', onClose)
      // After a broken connection the system may still read the bytes, so they are left to the collector.
      if (error) reject(error)
      else {
        piece.release()
        resolve()
      }
    }
    raw.once('close', onClose)
    raw.write(piece.bytes, settle)
  })
