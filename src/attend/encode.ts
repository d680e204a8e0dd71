/**
 * Encodes the answer to an attend request: copies scores and row numbers out of the arena, as JSON text or as
 * named arrays.
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
 * Copies the result out of the arena in the encoding that the client requested: `logits`, or `indices` and
 * `scores`.
 */
export const encodeScanResult = (
  services: LookupServices,
  result: ScanResult,
  encoding: Encoding,
): Answer => {
  const { version, sequence, shape } = result
  const body =
    encoding === 'json' ? printScanResult(services, result) : copyScanResult(services, result, encoding)
  return { body, mediaType: MEDIA_TYPES[encoding], version, sequence, shape, elementType: 'float32' }
}

const copyScanResult = (
  { arena, buffers }: LookupServices,
  { shape, scoreCount, scoresAt, top }: ScanResult,
  format: FormatName,
): ResponseBuffer => {
  const scores = { name: top === null ? 'logits' : 'scores', elementType: 'float32' as const, shape }
  // The indices come first because they are the wider type: both arrays then lie at multiples of their
  // element size.
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
 * The most text that one row of scores may take, because a row is printed as a whole. A longer one would
 * hardly fit into an answer.
 */
const ROW_BYTES_MAX = 128 * 1024 * 1024

/**
 * Refuses (BATCH_TOO_LARGE) scores whose text cannot fit into an answer. It is called before any work is
 * done.
 */
export const checkText = (shape: readonly number[]): void => {
  const rowBytes = printedBytesMax(shape, Math.min(1, countPrintedRows(shape)))
  if (rowBytes > ROW_BYTES_MAX) {
    refuse(
      'BATCH_TOO_LARGE',
      `${shape[shape.length - 1]} scores per query are too many for JSON; ` +
        `ask for application/x-safetensors or for top_k`,
    )
  }
}

/** Prints what was found as the JSON answer. */
const printScanResult = (services: LookupServices, result: ScanResult): ResponseBuffer => {
  const { table, version, sequence, shape, top } = result
  const head = JSON.stringify({ table, version, sequence, shape }).slice(0, -1)
  const prefix =
    top === null
      ? `${head},"logits":`
      : `${head},"indices":${printIndices(services, result, top.indicesAt)},"scores":`
  return printBetween(services, prefix, { shape, valuesAt: result.scoresAt }, '}')
}

/**
 * Prints row numbers as lists nested by shape. The arena holds them as int64 for safetensors; the upper half
 * is always zero.
 */
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
