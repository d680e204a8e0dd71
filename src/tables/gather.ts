/** Copies rows out of a version by row number, while the writer may be updating it. */
import { GatherdError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { ReadKernels } from '../kernels/table.ts'
import type { VersionHandle } from './handles.ts'
import type { TableReader } from './table-reader.ts'

/**
 * One gather: the row numbers that it reads and the destination of the rows. Addresses are bytes of the
 * arena.
 */
export interface GatherJob {
  /** The output format of the rows: as stored, or widened to float32. */
  format: 'stored' | 'float32'
  /** `count` resolved row numbers, int32. FILL_ROW uses the row at `fillAt`. */
  idsAt: number
  count: number
  /** The destination: `count` rows, packed. */
  outAt: number
  /** The row that stands in for FILL_ROW, already in the output format. */
  fillAt: number
}

/**
 * Copies rows out of a table that the writer may be updating, without returning a half-written row. The
 * common case is a plain gather between two loads of the lock word. If the lock word changed twice, the rows
 * are gathered again with a check of each row. Refuses OVERLOADED if a row stays locked longer than any
 * update takes.
 */
export const gatherRows = (reader: TableReader, arena: WebAssembly.Memory, job: GatherJob): void => {
  for (let attempt = 0; attempt < 2; attempt++) {
    const lock = reader.readLock()
    if (lock & 1) break
    gatherUnchecked(reader, arena, job)
    if (reader.readLock() === lock) return
  }
  gatherChecked(reader, arena, job)
}

/** The members that the reader view and the writer view of a version share. */
interface RowSource {
  readonly handle: VersionHandle
  kernels(arena: WebAssembly.Memory): readonly ReadKernels[]
}

/**
 * Gathers rows without checking the lock word. Only the writer may use this alone, because no other thread
 * writes rows.
 */
export const gatherUnchecked = (source: RowSource, arena: WebAssembly.Memory, job: GatherJob): void => {
  const kernels = source.kernels(arena)
  const { dim, dtype, segments } = source.handle
  for (let i = 0; i < kernels.length; i++) {
    const { firstRow, rowCount } = segments[i]
    kernels[i].gather(
      job.format,
      dtype,
      job.idsAt,
      job.count,
      job.outAt,
      i === 0 ? job.fillAt : 0,
      firstRow,
      rowCount,
      dim,
    )
  }
}

const gatherChecked = (reader: TableReader, arena: WebAssembly.Memory, job: GatherJob): void => {
  const kernels = reader.kernels(arena)
  const { dim, dtype, segments } = reader.handle
  const giveUpAt = performance.now() + LIMITS.readerWaitMsMax
  for (let i = 0; i < kernels.length; i++) {
    const { firstRow, rowCount } = segments[i]
    const fillAt = i === 0 ? job.fillAt : 0
    let done = 0
    for (;;) {
      done = kernels[i].gatherChecked(
        job.format,
        dtype,
        job.idsAt,
        done,
        job.count,
        job.outAt,
        fillAt,
        firstRow,
        rowCount,
        dim,
      )
      if (done >= job.count) break
      if (performance.now() > giveUpAt) {
        throw new GatherdError('OVERLOADED', 'a row stayed locked by an update for too long; try again', {
          headers: { 'Retry-After': '1' },
        })
      }
      reader.waitForWriter()
    }
  }
}
