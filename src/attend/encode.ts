import { writeSafetensorsHeader } from '../formats/safetensors.ts'
import type { ResponseBuffer } from '../lookup/buffers.ts'
import { type Answer, MEDIA_TYPES } from '../lookup/encode.ts'
import type { LookupServices } from '../lookup/lookup.ts'
import type { ScanResult } from './scan-result.ts'
import { printScanResult } from './print.ts'

export type AttendEncoding = 'json' | 'safetensors'

/** Copies what was found out of the arena in the encoding that the client asked for: `logits`, or `indices` and `scores`. */
export const encodeScanResult = (
  services: LookupServices,
  found: ScanResult,
  encoding: AttendEncoding,
): Answer => {
  const { version, sequence, shape } = found
  const body = encoding === 'json' ? printScanResult(services, found) : copyFound(services, found)
  return { body, mediaType: MEDIA_TYPES[encoding], version, sequence, shape, elementType: 'float32' }
}

const copyFound = (
  { arena, buffers }: LookupServices,
  { shape, scoreCount, scoresAt, top }: ScanResult,
): ResponseBuffer => {
  const scores = { name: top === null ? 'logits' : 'scores', elementType: 'float32' as const, shape }
  // Indices first: the wider type, so that both lie at multiples of their size.
  const tensors =
    top === null ? [scores] : [{ name: 'indices', elementType: 'int64' as const, shape }, scores]
  const { header, bodyBytes } = writeSafetensorsHeader(tensors)
  const body = buffers.acquire(bodyBytes)
  body.bytes.set(header)
  const indicesBytes = top === null ? 0 : scoreCount * 8
  if (top !== null)
    body.bytes.set(arena.bytes.subarray(top.indicesAt, top.indicesAt + indicesBytes), header.length)
  body.bytes.set(arena.bytes.subarray(scoresAt, scoresAt + scoreCount * 4), header.length + indicesBytes)
  return body
}
