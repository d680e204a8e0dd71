import { GatherdError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { ReadKernels } from '../kernels/table.ts'
import type { VersionHandle } from './handles.ts'
import type { TableReader } from './table-reader.ts'

/** The ids that a gather reads, and the place where it writes rows. Addresses are bytes of the arena. */
export interface GatherJob {
  /** As stored, or widened to float32. */
  format: 'stored' | 'float32'
  /** `count` resolved rows, int32; FILL_ROW takes the row at `fillAt`. */
  idsAt: number
  count: number
  /** count rows, packed. */
  outAt: number
  /** A ready row of the answer. */
  fillAt: number
}

/**
 * Copies rows out of a table that the writer may be writing to, so that no row is half written. The usual
 * case is two loads of the lock word around a plain gather. When it moved, the batch is repeated with a check
 * per row. Refuses OVERLOADED when a row stays busy longer than a writer ever takes.
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

/** The members that both views of a version have. */
interface RowSource {
  readonly handle: VersionHandle
  kernels(arena: WebAssembly.Memory): readonly ReadKernels[]
}

/**
 * Gathers without looking at a lock. Only the writer may rely on this alone, since no other thread writes.
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
        throw new GatherdError('OVERLOADED', 'a row was being written for too long', {
          headers: { 'Retry-After': '1' },
        })
      }
      reader.waitForWriter()
    }
  }
}
