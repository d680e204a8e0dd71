/** Collects the bytes of an upload in the arena, from which kernels read whole elements or rows. */
import { ELEMENT_BYTES, type ElementType } from '../core/types.ts'
import { swapBytes } from '../formats/arrange-rows.ts'
import type { SourceType, TableKernels } from '../kernels/table.ts'
import type { Arena, Region } from '../tables/arena.ts'
import { isIntegerType, widenIntegers } from './integers.ts'

/** The type of the arriving values, and the way in which they are handed on. */
export interface StageFormat {
  sourceType: ElementType
  isBigEndian?: boolean
  /** The smallest unit that is stored at once, in elements. */
  unitElements: number
  /** Whether a kernel needs float32, whatever arrives. */
  needsFloat32: boolean
}

/**
 * Enough for a chunk of a socket and the rest of the one before, and small enough to stay in a core's cache
 * between its two copies.
 */
const STAGE_BYTES = 128 * 1024

/**
 * A buffer in the arena. Each byte is copied to it, and `store` is called with whole units at its start,
 * which are little-endian. It stays reserved until it is closed.
 */
export class Stage {
  readonly #arena: Arena
  readonly #format: StageFormat
  readonly #store: (sourceAt: number, unitCount: number) => void
  readonly #unitBytes: number
  readonly #region: Region
  /** The region begins with the stage. */
  readonly #stageBytes: number
  /** The memory behind the stage, in which elements become float32 if no kernel reads them as they arrive. */
  readonly #widenedAt: number
  #stagedBytes = 0

  /** Refuses OVERLOADED when the arena has no room. */
  constructor(arena: Arena, format: StageFormat, store: (sourceAt: number, unitCount: number) => void) {
    const { sourceType, unitElements, needsFloat32 } = format
    const elementBytes = ELEMENT_BYTES[sourceType]
    this.#arena = arena
    this.#format = format
    this.#store = store
    this.#unitBytes = unitElements * elementBytes
    // The length is a multiple of every element's size, so that the memory behind the stage is aligned.
    this.#stageBytes = Math.ceil(Math.max(STAGE_BYTES, this.#unitBytes) / 8) * 8
    const isWidened = isIntegerType(sourceType) || (needsFloat32 && sourceType !== 'float32')
    const widenedBytes = isWidened ? (this.#stageBytes / elementBytes) * ELEMENT_BYTES.float32 : 0
    this.#region = arena.reserve(this.#stageBytes + widenedBytes)
    this.#widenedAt = this.#region.at + this.#stageBytes
  }

  /** Takes the next bytes. An incomplete unit waits for the next call. */
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
      const usedBytes = unitCount * this.#unitBytes
      if (this.#format.isBigEndian === true)
        swapBytes(Buffer.from(staged.buffer, at, usedBytes), ELEMENT_BYTES[this.#format.sourceType])
      this.#store(at, unitCount)
      staged.copyWithin(at, at + usedBytes, at + this.#stagedBytes)
      this.#stagedBytes -= usedBytes
    }
  }

  /**
   * Returns where `count` elements that begin at `sourceAt` are in a type that kernels read: widened behind
   * the stage if they are integers, or if float32 is needed, and else in place.
   */
  readable(kernels: TableKernels, sourceAt: number, count: number): { type: SourceType; at: number } {
    const { sourceType, needsFloat32 } = this.#format
    const at = this.#widenedAt
    if (isIntegerType(sourceType)) {
      const target = this.#arena.float32.subarray(at / 4, at / 4 + count)
      widenIntegers(sourceType, this.#arena.bytes.buffer, sourceAt, target)
      return { type: 'float32', at }
    }
    if (!needsFloat32 || sourceType === 'float32') return { type: sourceType, at: sourceAt }
    kernels.convert(sourceType, 'float32', sourceAt, count, at)
    return { type: 'float32', at }
  }

  /** Releases the memory. */
  close(): void {
    this.#arena.release(this.#region)
  }
}
