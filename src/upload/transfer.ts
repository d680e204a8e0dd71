/*
 * How a body goes from its source to the sinks of its arrays.
 */
import { refuse } from '../core/errors.ts'
import type { ArrayFormat, NamedArraysFormat } from '../formats/format.ts'
import type { UploadBody } from './body.ts'
import type { Sink } from './sinks.ts'

/** Takes the header of a body of this format; fewer bytes when the body ends inside of it. */
export const takeHeader = async (
  body: UploadBody,
  { prefixBytes, measureHeader }: ArrayFormat | NamedArraysFormat,
): Promise<Uint8Array> => {
  const prefix = await body.take(prefixBytes)
  const headerBytes = measureHeader(prefix)
  if (headerBytes === null || headerBytes <= prefix.length) return prefix
  const rest = await body.take(headerBytes - prefix.length)
  return Buffer.concat([prefix, rest])
}

/**
 * Hands each of `sinks` its bytes. Refuses MALFORMED_BODY, with the text of `describe`, unless the body has
 * exactly `bodyBytes`.
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

/** Refuses (DIGEST_MISMATCH) a body that was received whole and has another sha-256 than `expected`. */
export const checkDigest = (body: UploadBody, expected: Uint8Array | undefined): void => {
  const found = body.digest()
  if (expected === undefined || found === null || Buffer.compare(found, expected) === 0) return
  const text = (digest: Uint8Array) => Buffer.from(digest).toString('base64')
  refuse('DIGEST_MISMATCH', `the body has the sha-256 ${text(found)}, announced was ${text(expected)}`)
}
