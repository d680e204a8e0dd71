/** Writes the columns of an upload into the rows of a table. */
import { assert } from '../core/assert.ts'
import { type Dtype, ELEMENT_BYTES, type ElementType } from '../core/types.ts'
import { instantiateKernels, type TableKernels } from '../kernels/table.ts'
import { ROWS_AT } from '../layout/table-layout.ts'
import type { Arena } from '../tables/arena.ts'
import type { SegmentHandle } from '../tables/handles.ts'
import type { ElementLoader } from './row-loader.ts'
import { Stage } from './stage.ts'

/** The shape and type of the arriving values, and the type in which they are stored. */
export interface ColumnLoaderFormat {
  rows: number
  dim: number
  sourceType: ElementType
  isBigEndian?: boolean
  dtype: Exclude<Dtype, 'int8'>
}

/**
 * A panel is about as large as the cache of a core, and has at least as many rows as a cache line has bytes.
 */
const PANEL_BYTES = 1024 * 1024
const PANEL_ROWS_MIN = 64
/** Elements are moved in squares, whose lines stay in the first cache. */
const SQUARE = 16

/** Some rows of a segment, in whose memory the columns are collected until the last one has arrived. */
interface Panel {
  kernels: TableKernels
  /** The first row of the panel in the table, and its address in the memory. */
  firstRow: number
  at: number
  rowCount: number
  memory: WebAssembly.Memory
}

/**
 * Writes the elements of a table in column order, from pieces of any length. The table's own memory is the
 * buffer: it is divided into panels of a few rows, and a column is written piece by piece to all panels,
 * each of which collects its columns one after the other. When the last column of a panel has arrived, the
 * panel is transposed through a copy. So each byte is written twice, in long runs, and only one panel is
 * copied at a time, while the element by element way would touch a cache line for each element.
 */
export class ColumnLoader implements ElementLoader {
  readonly #segments: readonly SegmentHandle[]
  readonly #kernels: readonly TableKernels[]
  readonly #format: ColumnLoaderFormat
  readonly #stage: Stage
  readonly #panelRows: number
  readonly #scratch: Uint8Array<ArrayBuffer>
  #column = 0
  #row = 0
  #segmentIndex = 0
  #firstNonFinite = -1

  /** Refuses OVERLOADED when the arena has no room. */
  constructor(arena: Arena, segments: readonly SegmentHandle[], format: ColumnLoaderFormat) {
    const { rows, dim, sourceType, isBigEndian, dtype } = format
    const rowBytes = dim * ELEMENT_BYTES[dtype]
    this.#segments = segments
    this.#kernels = segments.map(({ memory }) => instantiateKernels(memory, arena.memory))
    this.#format = format
    this.#panelRows = Math.min(rows, Math.max(PANEL_ROWS_MIN, Math.floor(PANEL_BYTES / rowBytes)))
    this.#scratch = new Uint8Array(this.#panelRows * rowBytes)
    const stage = { sourceType, isBigEndian, unitElements: 1, needsFloat32: false }
    this.#stage = new Stage(arena, stage, (sourceAt, count) => this.#store(sourceAt, count))
  }

  get firstNonFinite(): number {
    return this.#firstNonFinite
  }

  /** Nothing needs to be awaited: every column touches the pages of all rows. */
  prepare(): null {
    return null
  }

  write(bytes: Uint8Array): void {
    this.#stage.write(bytes)
  }

  close(): void {
    this.#stage.close()
  }

  #store(stageAt: number, elementCount: number): void {
    const { rows, dim, sourceType, dtype } = this.#format
    const elementBytes = ELEMENT_BYTES[dtype]
    let sourceAt = stageAt
    for (let left = elementCount; left > 0; ) {
      const panel = this.#panelAt(this.#row)
      const rowInPanel = this.#row - panel.firstRow
      const count = Math.min(left, panel.rowCount - rowInPanel)
      const { type, at } = this.#stage.readable(panel.kernels, sourceAt, count)
      const offset = panel.at - ROWS_AT + (this.#column * panel.rowCount + rowInPanel) * elementBytes
      this.#noteNonFinite(panel.kernels.ingest(type, dtype, at, count, offset))
      sourceAt += count * ELEMENT_BYTES[sourceType]
      left -= count
      this.#row += count
      const isPanelFull = this.#row === panel.firstRow + panel.rowCount
      if (isPanelFull && this.#column === dim - 1) this.#transpose(panel)
      if (this.#row === rows) {
        this.#row = 0
        this.#column += 1
        this.#segmentIndex = 0
      }
    }
  }

  /** Keeps the first in row order; the elements of one call are of one column, in the order of the rows. */
  #noteNonFinite(position: number): void {
    if (position < 0) return
    const element = (this.#row + position) * this.#format.dim + this.#column
    if (this.#firstNonFinite < 0 || element < this.#firstNonFinite) this.#firstNonFinite = element
  }

  /** Finds the panel of a row. No panel is in two segments. */
  #panelAt(row: number): Panel {
    let segment = this.#segments[this.#segmentIndex]
    while (row >= segment.firstRow + segment.rowCount) {
      segment = this.#segments[++this.#segmentIndex]
      assert(segment !== undefined, 'no more is written than the table holds')
    }
    const inSegment = row - segment.firstRow
    const first = inSegment - (inSegment % this.#panelRows)
    const { dim, dtype } = this.#format
    return {
      kernels: this.#kernels[this.#segmentIndex],
      firstRow: segment.firstRow + first,
      at: ROWS_AT + first * dim * ELEMENT_BYTES[dtype],
      rowCount: Math.min(this.#panelRows, segment.rowCount - first),
      memory: segment.memory,
    }
  }

  #transpose({ memory, at, rowCount }: Panel): void {
    const { dim, dtype } = this.#format
    const byteCount = rowCount * dim * ELEMENT_BYTES[dtype]
    Buffer.from(memory.buffer, at, byteCount).copy(this.#scratch)
    const count = rowCount * dim
    if (dtype === 'float32') {
      moveElements(
        new Uint32Array(this.#scratch.buffer, 0, count),
        new Uint32Array(memory.buffer, at, count),
        rowCount,
        dim,
      )
    } else {
      moveElements(
        new Uint16Array(this.#scratch.buffer, 0, count),
        new Uint16Array(memory.buffer, at, count),
        rowCount,
        dim,
      )
    }
  }
}

/** Moves `dim` columns of `rowCount` elements to rows. */
const moveElements = (
  from: Uint32Array | Uint16Array,
  to: Uint32Array | Uint16Array,
  rowCount: number,
  dim: number,
): void => {
  for (let firstRow = 0; firstRow < rowCount; firstRow += SQUARE) {
    const rowEnd = Math.min(rowCount, firstRow + SQUARE)
    for (let firstColumn = 0; firstColumn < dim; firstColumn += SQUARE) {
      const columnEnd = Math.min(dim, firstColumn + SQUARE)
      for (let row = firstRow; row < rowEnd; row++) {
        let source = firstColumn * rowCount + row
        const end = row * dim + columnEnd
        for (let target = row * dim + firstColumn; target < end; target++) {
          to[target] = from[source]
          source += rowCount
        }
      }
    }
  }
}
