import { refuse } from '../core/errors.ts'
import type { UploadBody } from './body.ts'
import type { Sink } from './sinks.ts'

/** The bytes of a header, by what `measure` says of the first `prefixBytes`; fewer when the body ends inside. */
export const takeHeader = async (
  body: UploadBody,
  prefixBytes: number,
  measure: (prefix: Uint8Array) => number | null,
): Promise<Uint8Array> => {
  const prefix = await body.take(prefixBytes)
  const headerBytes = measure(prefix)
  if (headerBytes === null || headerBytes <= prefix.length) return prefix
  const rest = await body.take(headerBytes - prefix.length)
  return Buffer.concat([prefix, rest])
}

/**
 * Hands each of `sinks` its bytes, and sees that the body has exactly the bytes it must have, `bodyBytes`. Refuses MALFORMED_BODY, with what
 * `describe` says of them.
 */
export const writeBody = async (
  body: UploadBody,
  bodyBytes: number,
  describe: () => string,
  sinks: readonly Sink[],
): Promise<void> => {
  for (let chunk = await body.next(); chunk !== null; chunk = await body.next()) {
    const chunkEnd = body.receivedBytes
    const chunkBegin = chunkEnd - chunk.length
    if (chunkEnd > bodyBytes) refuse('MALFORMED_BODY', `${describe()}, it goes on: at least ${chunkEnd} came`)
    for (const sink of sinks) {
      const begin = Math.max(sink.begin, chunkBegin)
      const end = Math.min(sink.end, chunkEnd)
      if (begin >= end) continue
      const isReady = sink.prepare(end - begin)
      if (isReady !== null) await isReady
      sink.write(chunk.subarray(begin - chunkBegin, end - chunkBegin))
    }
  }
  if (body.receivedBytes < bodyBytes)
    refuse('MALFORMED_BODY', `${describe()}, it ended after ${body.receivedBytes}`)
}
