/** Writes the rows of an upload into the memory of a table. */
import { assert } from '../core/assert.ts'
import { type Dtype, ELEMENT_BYTES, type ElementType } from '../core/types.ts'
import { instantiateKernels, type TableKernels } from '../kernels/table.ts'
import type { Arena } from '../tables/arena.ts'
import type { SegmentHandle } from '../tables/handles.ts'
import { rowBytes } from '../layout/table-layout.ts'
import { PageWarmer } from './page-warmer.ts'
import { refuse } from '../core/errors.ts'
import { Stage } from './stage.ts'

/** The type of the arriving values, and the type in which they are stored. */
export interface RowLoaderFormat {
  dim: number
  sourceType: ElementType
  isBigEndian?: boolean
  dtype: Dtype
  /**
   * If set, the values are columns `from`..`from + dim` of longer float32 rows of `length`; the other columns
   * do not change.
   */
  within?: { from: number; length: number }
}

/** Writes the elements of a table into its memory, in the order in which they arrive. */
export interface ElementLoader {
  /** The index in row order of the first element that is not finite as it is stored, or -1. */
  readonly firstNonFinite: number
  /**
   * Must be called before each `write` of `byteCount` bytes. If it returns a promise, the caller must await
   * it.
   */
  prepare(byteCount: number): Promise<void> | null
  write(bytes: Uint8Array): void
  close(): void
}

/**
 * Writes the elements of a table in row order, from pieces of any length. Each byte is copied to a stage in
 * the arena, and from there by a kernel, which converts and checks it, into the segment that contains the
 * row. The stage stays reserved until the loader is closed.
 */
export class RowLoader implements ElementLoader {
  readonly #arena: Arena
  readonly #segments: readonly SegmentHandle[]
  readonly #format: RowLoaderFormat
  readonly #stage: Stage
  /** A row for int8, because its scale depends on the whole row; else an element. */
  readonly #unitElements: number
  /** The distance from one row to the next. */
  readonly #rowBytes: number
  #segmentIndex = -1
  #kernels: TableKernels | undefined
  #warmer: PageWarmer | undefined
  #elementsWritten = 0
  #firstNonFinite = -1

  /** Refuses OVERLOADED when the arena has no room. */
  constructor(arena: Arena, segments: readonly SegmentHandle[], format: RowLoaderFormat) {
    const { dim, sourceType, isBigEndian, dtype, within } = format
    assert(
      within === undefined || (dtype === 'float32' && within.from + dim <= within.length),
      'columns lie within float32 rows',
    )
    this.#rowBytes = within === undefined ? rowBytes(dim, dtype) : within.length * ELEMENT_BYTES.float32
    this.#arena = arena
    this.#segments = segments
    this.#format = format
    this.#unitElements = dtype === 'int8' ? dim : 1
    const stage = {
      sourceType,
      isBigEndian,
      unitElements: this.#unitElements,
      needsFloat32: dtype === 'int8',
    }
    this.#stage = new Stage(arena, stage, (sourceAt, unitCount) => this.#writeUnits(sourceAt, unitCount))
  }

  /**
   * The index of the first element that is stored as NaN or infinity (for an int8 row whose range overflows,
   * that of its first element), or -1.
   */
  get firstNonFinite(): number {
    return this.#firstNonFinite
  }

  /**
   * Must be called before each `write` of `byteCount` bytes. If it returns a promise, the caller must await
   * it.
   */
  prepare(byteCount: number): Promise<void> | null {
    const { dim, sourceType } = this.#format
    const { rowCount, firstRow } = this.#segmentAt(Math.floor(this.#elementsWritten / dim))
    const elements = this.#elementsWritten - firstRow * dim + Math.ceil(byteCount / ELEMENT_BYTES[sourceType])
    const offset = Math.min(Math.ceil(elements / dim), rowCount) * this.#rowBytes
    return this.#warmer?.prepare(offset) ?? null
  }

  /** Writes the next bytes of the table. An incomplete unit waits for the next call. */
  write(bytes: Uint8Array): void {
    this.#stage.write(bytes)
  }

  /** Releases the stage. */
  close(): void {
    this.#stage.close()
    this.#warmer?.close()
  }

  /** Stores the units at the start of the stage, segment by segment. */
  #writeUnits(stageAt: number, unitCount: number): void {
    const { dim, sourceType, within } = this.#format
    let sourceAt = stageAt
    for (let left = unitCount * this.#unitElements; left > 0; ) {
      const segment = this.#segmentAt(Math.floor(this.#elementsWritten / dim))
      const rowsEnd =
        within === undefined
          ? segment.firstRow + segment.rowCount
          : Math.floor(this.#elementsWritten / dim) + 1
      const count = Math.min(left, rowsEnd * dim - this.#elementsWritten)
      const badElement = this.#store(segment, sourceAt, count)
      if (badElement >= 0 && this.#firstNonFinite < 0)
        this.#firstNonFinite = this.#elementsWritten + badElement
      this.#elementsWritten += count
      sourceAt += count * ELEMENT_BYTES[sourceType]
      left -= count
    }
  }

  /**
   * Stores `count` elements of one segment. Returns the first that is not finite, counted from the first of
   * these, or -1.
   */
  #store(segment: SegmentHandle, sourceAt: number, count: number): number {
    const { dim, dtype, within } = this.#format
    const elementAt = this.#elementsWritten - segment.firstRow * dim
    const kernels = this.#kernels
    assert(kernels !== undefined, 'kernels come with the segment')
    const { type, at } = this.#stage.readable(kernels, sourceAt, count)
    if (within !== undefined) {
      const column = within.from + (elementAt % dim)
      return kernels.ingest(
        type,
        'float32',
        at,
        count,
        Math.floor(elementAt / dim) * this.#rowBytes + column * ELEMENT_BYTES.float32,
      )
    }
    if (dtype !== 'int8') return kernels.ingest(type, dtype, at, count, elementAt * ELEMENT_BYTES[dtype])
    return kernels.quantise(at, count / dim, dim, elementAt / dim)
  }

  /** Finds the segment that contains `row`, and instantiates its kernels. Rows arrive in order. */
  #segmentAt(row: number): SegmentHandle {
    let segment = this.#segments[this.#segmentIndex]
    while (segment === undefined || row >= segment.firstRow + segment.rowCount) {
      segment = this.#segments[++this.#segmentIndex]
      assert(segment !== undefined, 'no more is written than the table holds')
      this.#kernels = instantiateKernels(segment.memory, this.#arena.memory)
      this.#warmer?.close()
      // With `within` there is no warmer, because its zeros would overwrite the other columns.
      if (this.#format.within === undefined)
        this.#warmer = new PageWarmer(segment.memory, segment.rowCount * this.#rowBytes)
    }
    return segment
  }
}

/**
 * Refuses (NON_FINITE), by row and column, the first element that is not finite; -1 means that all are.
 * `pointer` returns its place in a JSON body.
 */
export const refuseNonFinite = (
  element: number,
  { dim, dtype }: { dim: number; dtype: Dtype },
  pointer?: (row: number, column: number) => string,
): void => {
  if (element < 0) return
  const row = Math.floor(element / dim)
  const column = element % dim
  const detail = `the value at row ${row}, column ${column} is not finite as ${dtype}`
  if (pointer === undefined) refuse('NON_FINITE', `${detail}; ?allow_non_finite=true stores it anyway`)
  refuse('NON_FINITE', detail, {
    errors: [{ pointer: pointer(row, column), detail: `not finite as ${dtype}` }],
  })
}
