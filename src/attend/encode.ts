/*
 * The answer to an attend request: scores and row numbers out of the arena, as JSON text or as named arrays.
 */
import { refuse } from '../core/errors.ts'
import { findNamedArrays, type FormatName } from '../formats/format.ts'
import { countPrintedRows, printedBytesMax } from '../kernels/print-floats.ts'
import type { ResponseBuffer } from '../lookup/buffers.ts'
import { type Answer, type Encoding, MEDIA_TYPES } from '../lookup/encode.ts'
import type { LookupServices } from '../lookup/lookup.ts'
import { printBetween } from '../lookup/print.ts'
import type { ScanResult } from './plan.ts'

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

/**
 * Room for the text of one run of scores, which is printed whole. A longer one would hardly fit into an
 * answer.
 */
const ROW_BYTES_MAX = 128 * 1024 * 1024

/** Refuses BATCH_TOO_LARGE, before any work, scores whose text cannot be an answer. */
export const checkText = (shape: readonly number[]): void => {
  const rowBytes = printedBytesMax(shape, Math.min(1, countPrintedRows(shape)))
  if (rowBytes > ROW_BYTES_MAX) {
    refuse(
      'BATCH_TOO_LARGE',
      `${shape[shape.length - 1]} scores a query are too many for JSON; ` +
        `ask for application/x-safetensors or for top_k`,
    )
  }
}

/** Prints what was found as the JSON answer. */
const printScanResult = (services: LookupServices, found: ScanResult): ResponseBuffer => {
  const { table, version, sequence, shape, top } = found
  const head = JSON.stringify({ table, version, sequence, shape }).slice(0, -1)
  const prefix =
    top === null
      ? `${head},"logits":`
      : `${head},"indices":${printIndices(services, found, top.indicesAt)},"scores":`
  return printBetween(services, prefix, { shape, valuesAt: found.scoresAt }, '}')
}

/** Row numbers, nested by shape. They are int64 for safetensors; the upper half is zero. */
const printIndices = ({ arena }: LookupServices, { shape }: ScanResult, indicesAt: number): string => {
  const word = indicesAt / 4
  const nest = (axis: number, first: number, count: number): string => {
    const length = shape[axis]
    const inner = length === 0 ? 0 : count / length
    const parts =
      axis === shape.length - 1
        ? Array.from({ length }, (_, i) => arena.int32[word + 2 * (first + i)])
        : Array.from({ length }, (_, i) => nest(axis + 1, first + i * inner, inner))
    return `[${parts.join()}]`
  }
  return nest(
    0,
    0,
    shape.reduce((product, length) => product * length, 1),
  )
}
