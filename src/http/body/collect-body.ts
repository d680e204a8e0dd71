import type { IncomingMessage } from 'node:http'
import { GatherdError } from '../../core/errors.ts'
import { LIMITS } from '../../core/limits.ts'
import { refuseCut, refuseSlow } from './body-stream.ts'
import type { StallWatch } from './stall-watch.ts'

/** Collects bodies that are read as a whole, within a size and a time. */

/** Called once with the body, or with the reason why there is none. */
export type BodyDone = (error: Error | null, body?: unknown) => void

/** Keeps the chunks of a body. */
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

  /** Each chunk is a copy that Node has made for us, so a body of one chunk needs no other. */
  finish(): Buffer {
    return this.#chunks.length === 1 ? this.#chunks[0] : Buffer.concat(this.#chunks)
  }
}

/** The bounds of one body. */
export interface BodyLimits {
  /** NaN when the body comes in chunks of HTTP. */
  announcedBytes: number
  bytesMax: number
  stalls: StallWatch
}

/**
 * Collects a body. After a refusal nothing more is read here: the error handler sends the answer, and
 * drops the rest of the body.
 */
export const collectBody = (
  payload: IncomingMessage,
  { announcedBytes, bytesMax, stalls }: BodyLimits,
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
  const unwatch = stalls.watch(performance.now() + waitMs, () => stop(refuseSlow(receivedBytes)))
  payload.on('data', onData).on('end', onEnd).on('error', onError)
}

const refuseLarge = (bytesMax: number): Error =>
  new GatherdError('BODY_TOO_LARGE', `the body of this route has at most ${bytesMax} bytes`)
