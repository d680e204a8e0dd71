import { refuse } from '../core/errors.ts'
import { countPrintedRows, printedBytesMax } from '../kernels/json.ts'
import type { ResponseBuffer } from '../lookup/buffers.ts'
import { refuseLongText } from '../lookup/gathered.ts'
import type { LookupServices } from '../lookup/lookup.ts'
import type { Found } from './found.ts'

/** Text is printed in slices of about this size, so that the scratch of a long answer stays in cache. */
const SLICE_BYTES = 512 * 1024
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
export const printFound = (services: LookupServices, found: Found): ResponseBuffer => {
  const { table, version, sequence, shape, top } = found
  const head = JSON.stringify({ table, version, sequence, shape }).slice(0, -1)
  const prefix = top === null ? `${head},"logits":` : `${head},"indices":${printIndices(services, found, top.indicesAt)},"scores":`
  const slices = printScores(services, found)
  const body = services.buffers.acquire(Buffer.byteLength(prefix) + slices.reduce((sum, slice) => sum + slice.length, 0) + 1)
  let at = body.bytes.write(prefix)
  for (const slice of slices) {
    body.bytes.set(slice, at)
    at += slice.length
  }
  body.bytes.write('}', at)
  return body
}

/** The scores as text, in pieces of their own. */
const printScores = ({ arena, printer }: LookupServices, { shape, scoresAt }: Found): Uint8Array[] => {
  const rowCount = countPrintedRows(shape)
  const width = shape[shape.length - 1]
  const rowsPerSlice = Math.max(1, Math.min(rowCount, Math.floor(SLICE_BYTES / printedBytesMax(shape, 1))))
  const room = printedBytesMax(shape, rowsPerSlice)
  const text = arena.reserve(room)
  try {
    const slices: Uint8Array[] = []
    let byteCount = 0
    for (let row = 0; row < rowCount; row += rowsPerSlice) {
      const count = Math.min(rowsPerSlice, rowCount - row)
      const length = printer.printRows(shape, row, count, scoresAt + row * width * 4, text.at, room)
      refuseLongText((byteCount += length))
      slices.push(arena.bytes.slice(text.at, text.at + length))
    }
    return slices
  } finally {
    arena.release(text)
  }
}

/** Row numbers, nested by shape. They are int64 for safetensors; the upper half is zero. */
const printIndices = ({ arena }: LookupServices, { shape }: Found, indicesAt: number): string => {
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
