/** Writes the rows of an upload into the memory of a table. */
import { assert } from '../core/assert.ts'
import { type Dtype, ELEMENT_BYTES, type ElementType } from '../core/types.ts'
import { instantiateKernels, type SourceType, type TableKernels } from '../kernels/table.ts'
import type { Arena, Region } from '../tables/arena.ts'
import type { SegmentHandle } from '../tables/handles.ts'
import { rowBytes } from '../layout/table-layout.ts'
import { isIntegerType, widenIntegers } from './integers.ts'
import { PageWarmer } from './page-warmer.ts'
import { refuse } from '../core/errors.ts'

/** The type of the arriving values, and the type in which they are stored. */
export interface RowLoaderFormat {
  dim: number
  sourceType: ElementType
  dtype: Dtype
  /**
   * If set, the values are columns `from`..`from + dim` of longer float32 rows of `length`; the other columns
   * do not change.
   */
  within?: { from: number; length: number }
}

/**
 * Enough for a chunk of a socket and the rest of the one before, and small enough to stay in a core's cache
 * between its two copies.
 */
const STAGE_BYTES = 128 * 1024

/**
 * Writes the elements of a table in row order, from pieces of any length. Each byte is copied to a stage in
 * the arena, and from there by a kernel, which converts and checks it, into the segment that contains the
 * row. The stage stays reserved until the loader is closed.
 */
export class RowLoader {
  readonly #arena: Arena
  readonly #segments: readonly SegmentHandle[]
  readonly #format: RowLoaderFormat
  /**
   * The smallest unit that is written at once: an element, or a row for int8, because its scale depends on
   * the whole row.
   */
  readonly #unitElements: number
  readonly #unitBytes: number
  /** The distance from one row to the next. */
  readonly #rowBytes: number
  readonly #region: Region
  /** The region begins with the stage. */
  readonly #stageBytes: number
  /**
   * The memory behind the stage, in which elements become float32 if no kernel reads them as they arrive:
   * integers, and numbers to be quantised.
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
    // The length is a multiple of every element's size, so that the memory behind the stage is aligned.
    this.#stageBytes = Math.ceil(Math.max(STAGE_BYTES, this.#unitBytes) / 8) * 8
    const isWidened = isIntegerType(sourceType) || (dtype === 'int8' && sourceType !== 'float32')
    const widenedBytes = isWidened
      ? (this.#stageBytes / ELEMENT_BYTES[sourceType]) * ELEMENT_BYTES.float32
      : 0
    this.#region = arena.reserve(this.#stageBytes + widenedBytes)
    this.#widenedAt = this.#region.at + this.#stageBytes
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
    const { at } = this.#region
    // Buffer.copy is used because the `set` of a typed array copies into shared memory byte by byte, unless
    // source and target are aligned alike.
    const source = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    const staged = this.#arena.bytes
    for (let copied = 0; copied < source.length; ) {
      const count = Math.min(source.length - copied, this.#stageBytes - this.#stagedBytes)
      source.copy(staged, at + this.#stagedBytes, copied, copied + count)
      copied += count
      this.#stagedBytes += count
      const unitCount = Math.floor(this.#stagedBytes / this.#unitBytes)
      if (unitCount === 0) continue
      this.#writeUnits(unitCount)
      const usedBytes = unitCount * this.#unitBytes
      staged.copyWithin(at, at + usedBytes, at + this.#stagedBytes)
      this.#stagedBytes -= usedBytes
    }
  }

  /** Releases the stage. */
  close(): void {
    this.#arena.release(this.#region)
    this.#warmer?.close()
  }

  /** Stores the units at the start of the stage, segment by segment. */
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
