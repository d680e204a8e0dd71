/** The memory in which a thread's kernels read ids and write rows, and the allocator of its regions. */
import { assert } from '../core/assert.ts'
import { createArenaMemory } from '../kernels/memories.ts'
import { alignUp, LINE_BYTES } from '../layout/cache-lines.ts'
import { refuse } from '../core/errors.ts'

/** A reserved part of an arena, which holds ids or rows. It is valid until it is released. */
export interface Region {
  readonly at: number
  readonly bytes: number
}

/**
 * A 32-bit memory that belongs to one thread and from which its kernels read ids and write rows. Regions are
 * allocated first fit, so that a thread with one lookup at a time keeps reusing the same few pages. The
 * memory is shared because compute workers write into it.
 */
export class Arena {
  readonly memory: WebAssembly.Memory
  readonly bytesMax: number
  readonly bytes: Uint8Array
  readonly int32: Int32Array
  readonly float32: Float32Array
  readonly uint16: Uint16Array
  readonly #buffer: Buffer
  /** The reserved regions, in ascending order of address. */
  readonly #regions: Region[] = []

  constructor(bytesMax: number) {
    this.memory = createArenaMemory(bytesMax)
    const buffer = this.memory.buffer
    this.bytesMax = buffer.byteLength
    this.bytes = new Uint8Array(buffer)
    this.int32 = new Int32Array(buffer)
    this.float32 = new Float32Array(buffer)
    this.uint16 = new Uint16Array(buffer)
    this.#buffer = Buffer.from(buffer)
  }

  /**
   * Reserves a region of at least `bytes`, aligned to a cache line. Refuses OVERLOADED if the regions in use
   * leave no space for it.
   */
  reserve(bytes: number): Region {
    assert(Number.isSafeInteger(bytes) && bytes >= 0, 'the size of a region is a count of bytes')
    const size = Math.max(LINE_BYTES, alignUp(bytes))
    let at = LINE_BYTES
    let position = 0
    for (; position < this.#regions.length; position++) {
      const region = this.#regions[position]
      if (region.at - at >= size) break
      at = region.at + region.bytes
    }
    if (at + size > this.bytesMax) {
      refuse('OVERLOADED', 'too many large requests are in flight', { headers: { 'Retry-After': '1' } })
    }
    const region = { at, bytes: size }
    if (position === this.#regions.length) this.#regions.push(region)
    else this.#regions.splice(position, 0, region)
    return region
  }

  /** Frees a region. Each region is released exactly once. */
  release(region: Region): void {
    const regions = this.#regions
    const position = regions.lastIndexOf(region)
    assert(position >= 0, 'a region is released once')
    // A thread with one lookup at a time releases the last region.
    if (position === regions.length - 1) regions.pop()
    else regions.splice(position, 1)
  }

  /**
   * Copies bytes out of the arena. `target.set()` copies shared memory word by word, and byte by byte if
   * source and target are aligned differently, which is twice and fifteen times as slow
   * (docs/explanation/performance.md).
   */
  copyOut(at: number, byteCount: number, target: Uint8Array, targetAt: number): void {
    const copied = this.#buffer.copy(target, targetAt, at, at + byteCount)
    assert(copied === byteCount, 'the target is large enough for the copied bytes')
  }

  get reservedBytes(): number {
    return this.#regions.reduce((sum, region) => sum + region.bytes, 0)
  }
}

/**
 * A limit on how much of an arena one kind of request may reserve. Without it, announced bodies that arrive
 * slowly would exhaust the arena for all other requests.
 */
export class ArenaShare {
  readonly arena: Arena
  readonly #bytesMax: number
  #usedBytes = 0

  constructor(arena: Arena, bytesMax: number) {
    this.arena = arena
    this.#bytesMax = bytesMax
  }

  /** Reserves a region of the arena. Refuses OVERLOADED if the share or the arena is exhausted. */
  reserve(bytes: number): Region {
    if (this.#usedBytes + bytes > this.#bytesMax) {
      refuse('OVERLOADED', 'too many large requests of this kind are in flight', {
        headers: { 'Retry-After': '1' },
      })
    }
    const region = this.arena.reserve(bytes)
    this.#usedBytes += region.bytes
    return region
  }

  /**
   * Charges a region that was reserved directly from the arena to this share. Returns false if the share
   * cannot take it; otherwise the region must be released here.
   */
  adopt(region: Region): boolean {
    if (this.#usedBytes + region.bytes > this.#bytesMax) return false
    this.#usedBytes += region.bytes
    return true
  }

  /** Frees a region and subtracts it from the share. */
  release(region: Region): void {
    this.arena.release(region)
    this.#usedBytes -= region.bytes
  }
}
