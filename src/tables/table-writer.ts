/**
 * The writer's view of a table version, and the only one that can change rows and control words. Only
 * `src/writer` may import this file (test/tidy enforces it). No other thread writes, so the writer reads rows
 * without checking a lock.
 */
import { assert } from '../core/assert.ts'
import { instantiateKernels, type TableKernels } from '../kernels/table.ts'
import {
  type ControlChanges,
  type ControlWords,
  closeWriteWindow,
  openWriteWindow,
  readSequenceWords,
  readStepCount,
  readUpdatedAtMs,
  viewControlWords,
  writeStepCount,
} from '../layout/control-words.ts'
import { rowBytes } from '../layout/table-layout.ts'
import type { Arena } from './arena.ts'
import { type GatherJob, gatherUnchecked } from './gather.ts'
import type { VersionHandle } from './handles.ts'

/**
 * Maps the control words of a version, or of its optimizer state, and instantiates the kernels over its
 * segments.
 */
export class TableWriter {
  readonly handle: VersionHandle
  readonly rowBytes: number
  readonly #control: ControlWords
  readonly #kernels = new WeakMap<WebAssembly.Memory, TableKernels[]>()

  constructor(handle: VersionHandle) {
    assert(handle.segments.length > 0, 'a version has at least one segment')
    this.handle = handle
    this.rowBytes = rowBytes(handle.dim, handle.dtype)
    this.#control = viewControlWords(handle.segments[0].memory.buffer)
  }

  /** Returns the kernels of each segment over `arena`, which are instantiated once per arena. */
  kernels(arena: WebAssembly.Memory): TableKernels[] {
    let kernels = this.#kernels.get(arena)
    if (kernels === undefined) {
      kernels = this.handle.segments.map((segment) => instantiateKernels(segment.memory, arena))
      this.#kernels.set(arena, kernels)
    }
    return kernels
  }

  /** Returns the count of committed updates. */
  readSequence(): number {
    return readSequenceWords(this.#control)
  }

  /** Returns the time of the last update in milliseconds since 1970, or 0 if there was none. */
  readUpdatedAt(): number {
    return readUpdatedAtMs(this.#control)
  }

  /** Returns the count of gradient steps taken. */
  readStep(): number {
    return readStepCount(this.#control)
  }

  /** Sets the count of gradient steps when state is loaded with the rows or the optimizer changes. */
  writeStep(step: number): void {
    writeStepCount(this.#control, step)
  }

  /**
   * Runs `write` inside the write window, during which readers see an odd lock word and repeat their reads.
   * If `write` throws, rows may be half written and only a restart can restore them, so the exception is not
   * caught here.
   */
  write(changes: ControlChanges, write: () => void): void {
    assert(openWriteWindow(this.#control), 'only one writer at a time opens the write window')
    write()
    closeWriteWindow(this.#control, changes)
  }
}

/** The part of a gather that the writer chooses. Addresses are bytes of its arena. */
type Rows = Pick<GatherJob, 'idsAt' | 'count' | 'outAt'>

/** Gathers rows as float32. */
export const gatherFloat32 = (table: TableWriter, arena: Arena, rows: Rows): void =>
  gatherUnchecked(table, arena.memory, { ...rows, format: 'float32', fillAt: 0 })

/** Gathers rows in their stored format. */
export const gatherStored = (table: TableWriter, arena: Arena, rows: Rows): void =>
  gatherUnchecked(table, arena.memory, { ...rows, format: 'stored', fillAt: 0 })

/**
 * Rounds float32 rows to the storage dtype (except int8), half to even. Returns the index of the first
 * element that is not finite after rounding, or -1.
 */
export const storeFloat32 = (
  table: TableWriter,
  arena: Arena,
  rows: { sourceAt: number; count: number; outAt: number },
): number => {
  const { dim, dtype } = table.handle
  assert(dtype !== 'int8', 'only uploads write int8 rows')
  return table.kernels(arena.memory)[0].convert('float32', dtype, rows.sourceAt, rows.count * dim, rows.outAt)
}

/**
 * Writes rows in their stored format, each guarded by its stripe word. May only be called inside the write
 * window of the version.
 */
export const scatterStored = (
  table: TableWriter,
  arena: Arena,
  rows: { idsAt: number; count: number; sourceAt: number },
): void => {
  const kernels = table.kernels(arena.memory)
  table.handle.segments.forEach(({ firstRow, rowCount }, i) => {
    kernels[i].scatter(rows.idsAt, rows.count, rows.sourceAt, firstRow, rowCount, table.rowBytes)
  })
}
