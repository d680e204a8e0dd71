/** Collects whole bodies, within limits of size and time. */
import type { IncomingMessage } from 'node:http'
import { GatherdError } from '../../core/errors.ts'
import { askForBody } from '../connection/expectations.ts'
import { bodyPace, refuseCut, refuseSlow } from './body-stream.ts'
import type { StallWatch } from './stall-watch.ts'

/** Called once with the body, or with the reason why there is none. */
export type BodyDone = (error: Error | null, body?: unknown) => void

/** Stores the chunks of a body as they arrive. */
export interface Collector {
  add(chunk: Buffer): void
  finish(): Buffer
}

/** Stores the chunks in a list and joins them at the end. */
export class BodyChunks implements Collector {
  readonly #chunks: Buffer[] = []

  add(chunk: Buffer): void {
    this.#chunks.push(chunk)
  }

  /** Node has copied each chunk for us, so a body of one chunk needs no other copy. */
  finish(): Buffer {
    return this.#chunks.length === 1 ? this.#chunks[0] : Buffer.concat(this.#chunks)
  }
}

/** The bounds of one body. */
export interface BodyLimits {
  /** NaN for a body with chunked transfer coding. */
  announcedBytes: number
  bytesMax: number
  bytesPerSecondMin: number
  stalls: StallWatch
}

/**
 * Collects a body. After an error nothing more is read here: the error handler sends the answer and drops the
 * rest of the body.
 */
export const collectBody = (
  payload: IncomingMessage,
  { announcedBytes, bytesMax, bytesPerSecondMin, stalls }: BodyLimits,
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
  const unwatch = stalls.watch(
    () => receivedBytes,
    bodyPace(bytesPerSecondMin),
    () => stop(refuseSlow(receivedBytes)),
  )
  askForBody(payload)
  payload.on('data', onData).on('end', onEnd).on('error', onError)
}

const refuseLarge = (bytesMax: number): Error =>
  new GatherdError('BODY_TOO_LARGE', `the body of this route may have at most ${bytesMax} bytes`)
