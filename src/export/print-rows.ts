import { refuse } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { type JsonKernels, printedBytesMax } from '../kernels/print-floats.ts'
import type { Arena } from '../tables/arena.ts'
import type { RowsPage } from './rows.ts'

/** A page of rows as JSON, numbers printed as lookups print them. Refuses BATCH_TOO_LARGE for a text beyond the size of an answer. */
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
