import { countPrintedRows, type JsonKernels, printedBytesMax } from '../kernels/json.ts'
import type { Arena } from '../tables/arena.ts'
import type { ResponseBuffer, ResponseBuffers } from './buffers.ts'
import { type Gathered, refuseLongText } from './gathered.ts'
import { printMask } from './mask.ts'

/** Text is printed in slices of about this size, so that the scratch of a long answer stays in cache. */
const SLICE_BYTES = 512 * 1024

/** Prints gathered float32 rows as the JSON answer of a lookup. */
export const printEmbeddings = (gathered: Gathered, arena: Arena, buffers: ResponseBuffers, printer: JsonKernels): ResponseBuffer => {
  const { table, version, sequence, shape, elementType, mask } = gathered
  const head = { table, version, sequence, shape, dtype: elementType }
  const prefix = `${JSON.stringify(head).slice(0, -1)},"embeddings":`
  const suffix = mask === null ? '}' : `,"mask":${printMask(mask)}}`
  const slices = printSlices(gathered, arena, printer)
  const body = buffers.acquire(Buffer.byteLength(prefix) + slices.reduce((sum, slice) => sum + slice.length, 0) + suffix.length)
  let at = body.bytes.write(prefix)
  for (const slice of slices) {
    body.bytes.set(slice, at)
    at += slice.length
  }
  body.bytes.write(suffix, at, 'latin1')
  return body
}

/** The numbers as text, in pieces of their own. Refuses BATCH_TOO_LARGE when the text outgrows an answer. */
const printSlices = ({ shape, rowsAt }: Gathered, arena: Arena, printer: JsonKernels): Uint8Array[] => {
  const rowCount = countPrintedRows(shape)
  const dim = shape[shape.length - 1]
  const bytesPerRow = printedBytesMax(shape, 1)
  const rowsPerSlice = Math.max(1, Math.min(rowCount, Math.floor(SLICE_BYTES / bytesPerRow)))
  const room = printedBytesMax(shape, rowsPerSlice)
  const text = arena.reserve(room)
  try {
    const slices: Uint8Array[] = []
    let byteCount = 0
    for (let row = 0; row < rowCount || row === 0; row += rowsPerSlice) {
      const count = Math.min(rowsPerSlice, rowCount - row)
      const length = printer.printRows(shape, row, count, rowsAt + row * dim * 4, text.at, room)
      refuseLongText((byteCount += length))
      slices.push(arena.bytes.slice(text.at, text.at + length))
    }
    return slices
  } finally {
    arena.release(text)
  }
}
