/** Sends long answers in pieces, so that none has to be in memory as a whole. */
import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'
import type { FastifyReply } from 'fastify'
import { LIMITS } from '../../core/limits.ts'
import type { ResponseBuffer } from '../../lookup/buffers.ts'
import { arrayHeaders } from '../../lookup/encode.ts'
import type { StreamedAnswer } from '../../lookup/stream.ts'
import { countDelivered } from '../../system/socket-queue.ts'
import type { Pace, StallWatch } from '../body/stall-watch.ts'
import { stateHeaders } from './send-answer.ts'

/**
 * Sends a long answer. One piece is gathered while the socket takes the one before it, so no more than two
 * are in memory, however slow the client is. The connection is closed when the client takes nothing for
 * `responseStallMsMax`, or when a piece cannot be gathered.
 */
export const sendStreamed = async (
  reply: FastifyReply,
  answer: StreamedAnswer,
  stalls: StallWatch,
): Promise<void> => {
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
  let nextPiece = rows.next()
  try {
    if (head.length > 0) raw.write(head)
    for (let piece = await nextPiece; piece !== null; piece = await nextPiece) {
      nextPiece = rows.next()
      await writePiece(raw, piece, stalls)
    }
    if (tail.length > 0) raw.write(tail)
    raw.end()
  } catch (error) {
    // The headers have been sent, so only a closed connection can tell the client that the answer failed.
    raw.destroy()
    if (!raw.req.aborted)
      reply.log.warn({ err: error }, 'a streamed answer failed, and its connection was closed')
    nextPiece.then(
      (piece) => piece?.release(),
      () => {},
    )
  } finally {
    rows.close()
  }
}

/** A client may read as slowly as it likes, as long as it reads. */
const ANSWER_PACE: Pace = { silenceMs: LIMITS.responseStallMsMax, bytesPerSecondMin: 0 }

/**
 * Writes a piece. Resolves, and releases the piece, when the operating system has taken it. Rejects if the
 * client leaves or stalls.
 */
const writePiece = (raw: ServerResponse, piece: ResponseBuffer, stalls: StallWatch): Promise<void> =>
  new Promise((resolve, reject) => {
    const { socket } = raw
    const unwatch = stalls.watch(
      () => (socket === null ? 0 : countDelivered(socket)),
      ANSWER_PACE,
      () => raw.destroy(),
    )
    const onClose = (): void => settle(new Error('the client has closed the connection'))
    const settle = (error?: Error | null): void => {
      unwatch()
      raw.off('close', onClose)
      // After an error the operating system may still read the bytes, so they are left to the garbage
      // collector.
      if (error) reject(error)
      else {
        piece.release()
        resolve()
      }
    }
    raw.once('close', onClose)
    raw.write(piece.bytes, settle)
  })
