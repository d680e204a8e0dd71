/**
 * A table version as the writer sees it: the only view that can change rows and control words. Only
 * `src/writer` may import this file (test/tidy holds that). The writer is the only one that writes, so it
 * reads without looking at a lock.
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

/** Views of the control words of a version, or of its optimizer state, and the kernels over its segments. */
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

  /** The kernels of each segment over `arena`, made once per arena. */
  kernels(arena: WebAssembly.Memory): TableKernels[] {
    let kernels = this.#kernels.get(arena)
    if (kernels === undefined) {
      kernels = this.handle.segments.map((segment) => instantiateKernels(segment.memory, arena))
      this.#kernels.set(arena, kernels)
    }
    return kernels
  }

  /** Committed updates so far. */
  readSequence(): number {
    return readSequenceWords(this.#control)
  }

  /** Milliseconds since 1970 of the last update, 0 when there was none. */
  readUpdatedAt(): number {
    return readUpdatedAtMs(this.#control)
  }

  /** Gradient steps taken. */
  readStep(): number {
    return readStepCount(this.#control)
  }

  /** Sets the count of gradient steps, when state comes with the rows or the optimizer changes. */
  writeStep(step: number): void {
    writeStepCount(this.#control, step)
  }

  /**
   * Opens the write window: readers see an odd lock during `write` and repeat. An exception inside leaves
   * rows half written, which only a restart can mend, so it is not caught here.
   */
  write(changes: ControlChanges, write: () => void): void {
    assert(openWriteWindow(this.#control), 'one writer at a time')
    write()
    closeWriteWindow(this.#control, changes)
  }
}

/** Addresses are bytes of the writer's arena. */
type Rows = Pick<GatherJob, 'idsAt' | 'count' | 'outAt'>

/** Gathers rows as float32. */
export const gatherFloat32 = (table: TableWriter, arena: Arena, rows: Rows): void =>
  gatherUnchecked(table, arena.memory, { ...rows, format: 'float32', fillAt: 0 })

/** Gathers rows as stored. */
export const gatherStored = (table: TableWriter, arena: Arena, rows: Rows): void =>
  gatherUnchecked(table, arena.memory, { ...rows, format: 'stored', fillAt: 0 })

/**
 * Rounds float32 rows to the storage dtype (not int8), half to even. Returns the index of the first element
 * that is not finite afterwards, or -1.
 */
export const storeFloat32 = (
  table: TableWriter,
  arena: Arena,
  rows: { sourceAt: number; count: number; outAt: number },
): number => {
  const { dim, dtype } = table.handle
  assert(dtype !== 'int8', 'int8 rows are written by uploads only')
  return table.kernels(arena.memory)[0].convert('float32', dtype, rows.sourceAt, rows.count * dim, rows.outAt)
}

/** Writes stored rows, each guarded by its stripe word. Only inside the write window of the version. */
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
