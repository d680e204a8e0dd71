/*
 * The answer to an attend request: scores and row numbers out of the arena, as JSON text or as named arrays.
 */
import { findNamedArrays, type FormatName } from '../formats/format.ts'
import type { ResponseBuffer } from '../lookup/buffers.ts'
import { type Answer, type Encoding, MEDIA_TYPES } from '../lookup/encode.ts'
import type { LookupServices } from '../lookup/lookup.ts'
import type { ScanResult } from './scan-result.ts'
import { printScanResult } from './print.ts'

/**
 * Copies the result out of the arena in the encoding that the client asked for: `logits`, or `indices` and
 * `scores`.
 */
export const encodeScanResult = (services: LookupServices, found: ScanResult, encoding: Encoding): Answer => {
  const { version, sequence, shape } = found
  const body = encoding === 'json' ? printScanResult(services, found) : copyFound(services, found, encoding)
  return { body, mediaType: MEDIA_TYPES[encoding], version, sequence, shape, elementType: 'float32' }
}

const copyFound = (
  { arena, buffers }: LookupServices,
  { shape, scoreCount, scoresAt, top }: ScanResult,
  format: FormatName,
): ResponseBuffer => {
  const scores = { name: top === null ? 'logits' : 'scores', elementType: 'float32' as const, shape }
  // Indices first: the wider type, so that both lie at multiples of their size.
  const tensors =
    top === null ? [scores] : [{ name: 'indices', elementType: 'int64' as const, shape }, scores]
  const { head, tail } = findNamedArrays(format).frame(tensors)
  const indicesBytes = top === null ? 0 : scoreCount * 8
  const tailAt = head.length + indicesBytes + scoreCount * 4
  const body = buffers.acquire(tailAt + tail.length)
  body.bytes.set(head)
  if (top !== null)
    body.bytes.set(arena.bytes.subarray(top.indicesAt, top.indicesAt + indicesBytes), head.length)
  body.bytes.set(arena.bytes.subarray(scoresAt, scoresAt + scoreCount * 4), head.length + indicesBytes)
  body.bytes.set(tail, tailAt)
  return body
}
