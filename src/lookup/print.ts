/** Prints float32 rows as JSON answers. */
import { assert } from '../core/assert.ts'
import { refuse } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { ElementType } from '../core/types.ts'
import { countPrintedRows, type JsonKernels, printedBytesMax } from '../kernels/print-floats.ts'
import type { Arena } from '../tables/arena.ts'
import type { ResponseBuffer, ResponseBuffers } from './buffers.ts'
import { type Mask, printMask } from './mask.ts'

/** Text is printed in slices of at most this size, so that the memory it is printed to stays in the cache. */
const SLICE_BYTES = 512 * 1024

/** Space reserved before the body for a head whose length depends on it. */
const HEAD_ROOM_BYTES = 512

/** The parts of a thread's services that printing uses. */
export interface PrintServices {
  arena: Arena
  buffers: ResponseBuffers
  printer: JsonKernels
}

/** Prints gathered float32 rows as the JSON answer of a lookup. */
export const printEmbeddings = (services: PrintServices, gathered: GatherResult): ResponseBuffer => {
  const { table, version, sequence, shape, elementType, mask, rowsAt, writeHead } = gathered
  const head = JSON.stringify({ table, version, sequence, shape, dtype: elementType })
  const suffix = mask === null ? '}' : `,"mask":${printMask(mask)}}`
  return printBetween(
    services,
    `${head.slice(0, -1)},"embeddings":`,
    { shape, valuesAt: rowsAt },
    suffix,
    writeHead,
  )
}

/**
 * Prints a float32 tensor of the arena as nested JSON lists between two texts. The text is copied once, from
 * the slice that it was printed to. `writeHead` makes up to 512 bytes that go before the body. Refuses
 * BATCH_TOO_LARGE for text longer than an answer may be.
 */
export const printBetween = (
  { arena, buffers, printer }: PrintServices,
  prefix: string,
  { shape, valuesAt }: { shape: readonly number[]; valuesAt: number },
  suffix: string,
  writeHead?: (bodyBytes: number) => Uint8Array,
): ResponseBuffer => {
  const start = writeHead === undefined ? 0 : HEAD_ROOM_BYTES
  const rowCount = countPrintedRows(shape)
  const rowBytes = (shape[shape.length - 1] ?? 1) * 4
  const rowsPerSlice = Math.max(1, Math.min(rowCount, Math.floor(SLICE_BYTES / printedBytesMax(shape, 1))))
  const room = printedBytesMax(shape, rowsPerSlice)
  const text = arena.reserve(room)
  let body: ResponseBuffer | undefined
  let end = start
  try {
    for (let row = 0; row < rowCount; row += rowsPerSlice) {
      const count = Math.min(rowsPerSlice, rowCount - row)
      const length = printer.printRows(shape, row, count, valuesAt + row * rowBytes, text.at, room)
      refuseLongText(end - start + length)
      if (body === undefined) {
        // The remaining rows most likely take as much text as these. If there are none, the size is exact.
        const likelyBytes = count === rowCount ? length : Math.ceil((length / count) * rowCount * 1.02)
        body = buffers.acquire(start + Buffer.byteLength(prefix) + likelyBytes + suffix.length)
        end += body.bytes.write(prefix, start)
      }
      if (end + length + suffix.length > body.bytes.length)
        body = growBuffer(buffers, body, end + length + suffix.length)
      arena.copyOut(text.at, length, body.bytes, end)
      end += length
    }
    assert(body !== undefined, 'any shape has a row to print')
    end += body.bytes.write(suffix, end, 'latin1')
    const head = writeHead?.(end - start)
    return { bytes: prependHead(body.bytes.subarray(0, end), start, head), release: body.release }
  } catch (error) {
    body?.release()
    throw error
  } finally {
    arena.release(text)
  }
}

/** Moves the bytes to a buffer of at least `bytesMin`, and some more. */
const growBuffer = (buffers: ResponseBuffers, from: ResponseBuffer, bytesMin: number): ResponseBuffer => {
  const grown = buffers.acquire(Math.ceil(bytesMin * 1.5))
  grown.bytes.set(from.bytes)
  from.release()
  return grown
}

/** Puts a head right before the bytes from `start` on. */
const prependHead = (bytes: Buffer, start: number, head?: Uint8Array): Buffer => {
  if (head === undefined) return bytes
  assert(head.length <= start, 'there is room for the head')
  bytes.set(head, start - head.length)
  return bytes.subarray(start - head.length)
}

/** Rows that lie in an arena, ready to be written out. */
export interface GatherResult {
  table: string
  version: number
  sequence: number
  shape: readonly number[]
  elementType: ElementType
  /** Where the rows begin in the arena, and their bytes. */
  rowsAt: number
  byteCount: number
  mask: Mask | null
  /** Makes bytes to put before a body of so many, in the same buffer; octet-stream and JSON only. */
  writeHead?: (bodyBytes: number) => Uint8Array
}

/** Refuses BATCH_TOO_LARGE for JSON text that outgrows an answer. */
const refuseLongText = (byteCount: number): void => {
  if (byteCount > LIMITS.lookupResponseBytesMax) {
    refuse(
      'BATCH_TOO_LARGE',
      `as JSON the answer may take ${byteCount} bytes, the limit is ${LIMITS.lookupResponseBytesMax}; ` +
        `ask for a binary type`,
    )
  }
}
