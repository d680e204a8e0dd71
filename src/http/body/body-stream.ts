/** Reads bodies chunk by chunk, while they arrive. */
import type { IncomingMessage } from 'node:http'
import { Socket } from 'node:net'
import type { FastifyRequest } from 'fastify'
import { GatherdError } from '../../core/errors.ts'
import { LIMITS } from '../../core/limits.ts'
import { askForBody } from '../connection/expectations.ts'
import { HttpRefusal } from '../errors/problem.ts'
import { allowedMs, type Pace } from './stall-watch.ts'

/** The facts about a streamed body that are known before it has arrived. */
export const announcedBody = ({
  raw,
  headers,
}: FastifyRequest): { freesChunks: boolean; contentLength: number | undefined } => {
  const length = headers['content-length']
  return {
    // Node copies each chunk from a socket for us, so its memory can be freed before the garbage collector
    // finds it.
    freesChunks: raw.socket instanceof Socket,
    contentLength: length === undefined ? undefined : Number(length),
  }
}

/** The pace that bodies must keep. */
export const bodyPace = (bytesPerSecondMin: number): Pace => ({
  silenceMs: LIMITS.uploadIdleMsMax,
  bytesPerSecondMin,
})

/** The error for a body that arrives too slowly. */
export const refuseSlow = (receivedBytes: number): Error =>
  new HttpRefusal(408, 'INVALID_REQUEST', `the body arrived too slowly: ${receivedBytes} bytes so far`)

/** The error for a body whose sender left. No client reads it, but the upload fails with it. */
export const refuseCut = (cause: Error): Error =>
  new GatherdError('MALFORMED_BODY', 'the body ended before its announced end', { cause })

/**
 * Yields the chunks of a body, each in memory of its own. Fails when the client leaves (MALFORMED_BODY),
 * sends nothing for `uploadIdleMsMax`, or is slower than `bytesPerSecondMin` on average (408). If the
 * consumer stops early, the rest stays unread.
 */
export async function* readChunks(
  payload: IncomingMessage,
  bytesPerSecondMin: number,
): AsyncGenerator<Uint8Array, void, void> {
  const pace = bodyPace(bytesPerSecondMin)
  const queue: Buffer[] = []
  let queuedBytes = 0
  let receivedBytes = 0
  let waitedMs = 0
  // The client may have left before the first read; the payload then emits no more events.
  let failure = payload.destroyed && !payload.readableEnded ? refuseCut(new Error('closed')) : undefined
  let wake = (): void => {}
  const onData = (chunk: Buffer): void => {
    queue.push(chunk)
    queuedBytes += chunk.length
    receivedBytes += chunk.length
    if (queuedBytes > LIMITS.bodyAheadBytesMax) payload.pause()
    wake()
  }
  const onEnd = (): void => wake()
  const onError = (cause: Error): void => {
    failure = refuseCut(cause)
    wake()
  }
  const onClose = (): void => {
    if (!payload.readableEnded) failure ??= refuseCut(new Error('closed'))
    wake()
  }
  payload.on('data', onData).on('end', onEnd).on('error', onError).on('close', onClose)
  try {
    for (;;) {
      for (let chunk = queue.shift(); chunk !== undefined; chunk = queue.shift()) {
        queuedBytes -= chunk.length
        yield chunk
      }
      if (failure !== undefined) throw failure
      if (payload.readableEnded) return
      const fromMs = performance.now()
      const budgetMs = allowedMs(pace, receivedBytes) - waitedMs
      askForBody(payload)
      payload.resume()
      await new Promise<void>((resolve) => {
        const timer = setTimeout(
          () => {
            failure ??= refuseSlow(receivedBytes)
            resolve()
          },
          Math.min(pace.silenceMs, budgetMs),
        )
        wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
      waitedMs += performance.now() - fromMs
    }
  } finally {
    payload.off('data', onData).off('end', onEnd).off('close', onClose)
    payload.pause()
    // An error event without a listener would end the process, and the client may still leave after this.
    payload.off('error', onError).on('error', () => {})
  }
}
