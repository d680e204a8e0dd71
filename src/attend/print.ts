import { refuse } from '../core/errors.ts'
import { countPrintedRows, printedBytesMax } from '../kernels/print-floats.ts'
import type { ResponseBuffer } from '../lookup/buffers.ts'
import type { LookupServices } from '../lookup/lookup.ts'
import { printBetween } from '../lookup/print.ts'
import type { ScanResult } from './scan-result.ts'

/** Room for the text of one run of scores, which is printed whole. A longer one would hardly fit into an answer. */
const ROW_BYTES_MAX = 128 * 1024 * 1024

/** Refuses BATCH_TOO_LARGE, before any work, scores whose text cannot be an answer. */
export const checkText = (shape: readonly number[]): void => {
  const rowBytes = printedBytesMax(shape, Math.min(1, countPrintedRows(shape)))
  if (rowBytes > ROW_BYTES_MAX) {
    refuse(
      'BATCH_TOO_LARGE',
      `${shape[shape.length - 1]} scores a query are too many for JSON; ask for application/x-safetensors or for top_k`,
    )
  }
}

/** Prints what was found as the JSON answer. */
export const printScanResult = (services: LookupServices, found: ScanResult): ResponseBuffer => {
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
