import { assert } from '../core/assert.ts'
import { type Dtype, ELEMENT_BYTES, type ElementType } from '../core/types.ts'
import { instantiateKernels, type SourceType, type TableKernels } from '../kernels/table.ts'
import type { Arena, Region } from '../tables/arena.ts'
import type { SegmentHandle } from '../tables/handles.ts'
import { rowBytes } from '../layout/table-layout.ts'
import { isIntegerType, widenIntegers } from './integers.ts'
import { PageWarmer } from './page-warmer.ts'
import { refuse } from '../core/errors.ts'

/** The type that arrives, and the type that is stored. */
export interface RowLoaderFormat {
  dim: number
  sourceType: ElementType
  dtype: Dtype
  /**
   * Rows are columns `from`..`from + dim` of longer float32 rows, of `length`; what stands beside them stays.
   */
  within?: { from: number; length: number }
}

/**
 * A chunk of a socket and what was left of the one before; small enough to stay in a core's cache between its
 * two copies.
 */
const STAGE_BYTES = 128 * 1024

/**
 * Writes the elements of a table in row order, in pieces cut anywhere: each byte is copied to a stage in the
 * arena, and from there by a kernel, which converts and checks on the way, into the segment that holds the
 * row. Holds its stage until closed.
 */
export class RowLoader {
  readonly #arena: Arena
  readonly #segments: readonly SegmentHandle[]
  readonly #format: RowLoaderFormat
  /** The least that is written at once: an element, or a row for int8, whose scale is the row's. */
  readonly #unitElements: number
  readonly #unitBytes: number
  /** From one row to the next. */
  readonly #rowBytes: number
  readonly #region: Region
  /** The region begins with the stage. */
  readonly #stageBytes: number
  /**
   * Behind the stage elements become float32 that no kernel takes as they come: integers, and what is to be
   * quantised.
   */
  readonly #widenedAt: number
  #stagedBytes = 0
  #segmentIndex = -1
  #kernels: TableKernels | undefined
  #warmer: PageWarmer | undefined
  #elementsWritten = 0
  #firstNonFinite = -1

  /** Refuses OVERLOADED when the arena has no room. */
  constructor(arena: Arena, segments: readonly SegmentHandle[], format: RowLoaderFormat) {
    const { dim, sourceType, dtype, within } = format
    assert(
      within === undefined || (dtype === 'float32' && within.from + dim <= within.length),
      'columns lie within float32 rows',
    )
    this.#rowBytes = within === undefined ? rowBytes(dim, dtype) : within.length * ELEMENT_BYTES.float32
    this.#arena = arena
    this.#segments = segments
    this.#format = format
    this.#unitElements = dtype === 'int8' ? dim : 1
    this.#unitBytes = this.#unitElements * ELEMENT_BYTES[sourceType]
    // A multiple of every element's size, so that what lies behind is aligned.
    this.#stageBytes = Math.ceil(Math.max(STAGE_BYTES, this.#unitBytes) / 8) * 8
    const isWidened = isIntegerType(sourceType) || (dtype === 'int8' && sourceType !== 'float32')
    const widenedBytes = isWidened
      ? (this.#stageBytes / ELEMENT_BYTES[sourceType]) * ELEMENT_BYTES.float32
      : 0
    this.#region = arena.reserve(this.#stageBytes + widenedBytes)
    this.#widenedAt = this.#region.at + this.#stageBytes
  }

  /**
   * Index of the first element that is stored as NaN or infinity (of an int8 row whose range overflows, its
   * first), or -1.
   */
  get firstNonFinite(): number {
    return this.#firstNonFinite
  }

  /** To be called, and when it returns a promise awaited, before each `write` of `byteCount` bytes. */
  prepare(byteCount: number): Promise<void> | null {
    const { dim, sourceType } = this.#format
    const { rowCount, firstRow } = this.#segmentAt(Math.floor(this.#elementsWritten / dim))
    const elements = this.#elementsWritten - firstRow * dim + Math.ceil(byteCount / ELEMENT_BYTES[sourceType])
    const offset = Math.min(Math.ceil(elements / dim), rowCount) * this.#rowBytes
    return this.#warmer?.prepare(offset) ?? null
  }

  /** Takes the next bytes of the table. What does not make a whole unit waits for the next call. */
  write(bytes: Uint8Array): void {
    const { at } = this.#region
    // The copy of a Buffer: a typed array's `set` into shared memory goes byte by byte unless both ends are
    // aligned alike.
    const source = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    const staged = this.#arena.bytes
    for (let taken = 0; taken < source.length; ) {
      const count = Math.min(source.length - taken, this.#stageBytes - this.#stagedBytes)
      source.copy(staged, at + this.#stagedBytes, taken, taken + count)
      taken += count
      this.#stagedBytes += count
      const unitCount = Math.floor(this.#stagedBytes / this.#unitBytes)
      if (unitCount === 0) continue
      this.#writeUnits(unitCount)
      const usedBytes = unitCount * this.#unitBytes
      staged.copyWithin(at, at + usedBytes, at + this.#stagedBytes)
      this.#stagedBytes -= usedBytes
    }
  }

  /** Gives the stage back. */
  close(): void {
    this.#arena.release(this.#region)
    this.#warmer?.close()
  }

  /** Stores what lies at the start of the stage, segment by segment. */
  #writeUnits(unitCount: number): void {
    const { dim, sourceType, within } = this.#format
    let sourceAt = this.#region.at
    for (let left = unitCount * this.#unitElements; left > 0; ) {
      const segment = this.#segmentAt(Math.floor(this.#elementsWritten / dim))
      const rowsEnd =
        within === undefined
          ? segment.firstRow + segment.rowCount
          : Math.floor(this.#elementsWritten / dim) + 1
      const count = Math.min(left, rowsEnd * dim - this.#elementsWritten)
      const found = this.#store(segment, sourceAt, count)
      if (found >= 0 && this.#firstNonFinite < 0) this.#firstNonFinite = this.#elementsWritten + found
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
    const { dim, dtype, sourceType, within } = this.#format
    const elementAt = this.#elementsWritten - segment.firstRow * dim
    const kernels = this.#kernels
    assert(kernels !== undefined, 'kernels come with the segment')
    let type: SourceType = 'float32'
    let at = sourceAt
    if (isIntegerType(sourceType)) {
      at = this.#widenedAt
      widenIntegers(
        sourceType,
        this.#arena.bytes.buffer,
        sourceAt,
        this.#arena.float32.subarray(at / 4, at / 4 + count),
      )
    } else type = sourceType
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
    if (type !== 'float32') {
      at = this.#widenedAt
      kernels.convert(type, 'float32', sourceAt, count, at)
    }
    return kernels.quantise(at, count / dim, dim, elementAt / dim)
  }

  /** The segment that holds `row`, with its kernels at hand. Rows come in order. */
  #segmentAt(row: number): SegmentHandle {
    let segment = this.#segments[this.#segmentIndex]
    while (segment === undefined || row >= segment.firstRow + segment.rowCount) {
      segment = this.#segments[++this.#segmentIndex]
      assert(segment !== undefined, 'no more is written than the table holds')
      this.#kernels = instantiateKernels(segment.memory, this.#arena.memory)
      this.#warmer?.close()
      // Its zeros would fall on what stands beside the columns.
      if (this.#format.within === undefined)
        this.#warmer = new PageWarmer(segment.memory, segment.rowCount * this.#rowBytes)
    }
    return segment
  }
}

/**
 * Refuses (NON_FINITE), by row and column, the first element that is not finite; -1: all are. `pointer`:
 * where it is in a JSON body.
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
  if (pointer === undefined) refuse('NON_FINITE', `${detail}; ?allow_non_finite=true stores it all the same`)
  refuse('NON_FINITE', detail, {
    errors: [{ pointer: pointer(row, column), detail: `not finite as ${dtype}` }],
  })
}
