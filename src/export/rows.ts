/** Reads a page of rows for people who browse a table, and prints it as JSON. */
import { assert } from '../core/assert.ts'
import { gatherRows } from '../tables/gather.ts'
import type { TableReader } from '../tables/table-reader.ts'
import { refuse } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { type JsonKernels, printedBytesMax } from '../kernels/print-floats.ts'
import type { Arena } from '../tables/arena.ts'

/** A page of rows as float32. */
export interface RowsPage {
  /** Every row is at this sequence or a later one: updates that run meanwhile may show in some rows. */
  sequence: number
  firstRow: number
  rowCount: number
  /** rowCount x dim, in memory of its own. */
  values: Float32Array
}

/** Rows are read in steps of about this many bytes, so that a page of wide rows takes little of the arena. */
const STEP_BYTES = 1024 * 1024

/**
 * Reads rows offset..offset+limit-1, as far as the table has them. No row is half written. Refuses OVERLOADED
 * when a row stays locked too long, or the arena has no room.
 */
export const readRows = (reader: TableReader, arena: Arena, offset: number, limit: number): RowsPage => {
  const { rows, dim } = reader.handle
  assert(
    Number.isSafeInteger(offset) && offset >= 0 && Number.isSafeInteger(limit) && limit >= 0,
    'a page is of whole rows',
  )
  const rowCount = Math.max(0, Math.min(limit, rows - offset))
  const values = new Float32Array(rowCount * dim)
  // Before the rows, so that none is older.
  const sequence = reader.readSequence()
  const stepRows = Math.max(1, Math.floor(STEP_BYTES / (dim * 4)))
  for (let done = 0; done < rowCount; done += stepRows) {
    const count = Math.min(stepRows, rowCount - done)
    gatherFrom(reader, arena, offset + done, values.subarray(done * dim, (done + count) * dim))
  }
  return { sequence, firstRow: offset, rowCount, values }
}

/** Copies rows from `firstRow` on into `target`, as many as it has room for. */
const gatherFrom = (reader: TableReader, arena: Arena, firstRow: number, target: Float32Array): void => {
  const count = target.length / reader.handle.dim
  const region = arena.reserve(count * 4 + target.byteLength)
  try {
    const outAt = region.at + count * 4
    for (let i = 0; i < count; i++) arena.int32[region.at / 4 + i] = firstRow + i
    gatherRows(reader, arena.memory, { format: 'float32', idsAt: region.at, count, outAt, fillAt: 0 })
    Buffer.from(arena.memory.buffer, outAt, target.byteLength).copy(
      new Uint8Array(target.buffer, target.byteOffset),
    )
  } finally {
    arena.release(region)
  }
}

/**
 * Prints a page of rows as JSON, with numbers in the form that lookups print. Refuses BATCH_TOO_LARGE for a
 * text longer than an answer may be.
 */
export const printRowsPage = (page: RowsPage, dim: number, arena: Arena, printer: JsonKernels): string => {
  const room = printedBytesMax([dim])
  const region = arena.reserve(dim * 4 + room)
  try {
    const textAt = region.at + dim * 4
    const rows: string[] = []
    let byteCount = 0
    for (let i = 0; i < page.rowCount; i++) {
      arena.float32.set(page.values.subarray(i * dim, (i + 1) * dim), region.at / 4)
      const length = printer.printTensor([dim], region.at, textAt, room)
      byteCount += length
      if (byteCount > LIMITS.lookupResponseBytesMax) {
        refuse(
          'BATCH_TOO_LARGE',
          `the page takes more than ${LIMITS.lookupResponseBytesMax} bytes; ask for fewer rows`,
        )
      }
      const text = Buffer.from(arena.bytes.slice(textAt, textAt + length)).toString('latin1')
      rows.push(`{"index":${page.firstRow + i},"embedding":${text}}`)
    }
    return `{"rows":[${rows.join()}]}`
  } finally {
    arena.release(region)
  }
}
