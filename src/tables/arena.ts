import { assert } from '../core/assert.ts'
import { createArenaMemory } from '../kernels/memories.ts'
import { alignUp, LINE_BYTES } from '../layout/cache-lines.ts'
import { refuse } from '../core/errors.ts'

/** A part of an arena: ids in, rows out. Valid until released. */
export interface Region {
  readonly at: number
  readonly bytes: number
}

/**
 * A thread's own 32-bit shared memory, in which its kernels read ids and write rows. Regions are handed out
 * first fit, so that a thread with one lookup at a time touches the same few pages again and again. Shared,
 * since compute workers write into it.
 */
export class Arena {
  readonly memory: WebAssembly.Memory
  readonly bytesMax: number
  readonly bytes: Uint8Array
  readonly int32: Int32Array
  readonly float32: Float32Array
  readonly uint16: Uint16Array
  readonly #buffer: Buffer
  /** In ascending order of address. */
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
   * A region of at least `bytes`, aligned to a cache line. Refuses OVERLOADED when what is in flight leaves
   * no room.
   */
  reserve(bytes: number): Region {
    assert(Number.isSafeInteger(bytes) && bytes >= 0, 'a region is a count of bytes')
    const size = Math.max(LINE_BYTES, alignUp(bytes))
    let at = LINE_BYTES
    let place = 0
    for (; place < this.#regions.length; place++) {
      const region = this.#regions[place]
      if (region.at - at >= size) break
      at = region.at + region.bytes
    }
    if (at + size > this.bytesMax) {
      refuse('OVERLOADED', 'too many large requests are in flight', { headers: { 'Retry-After': '1' } })
    }
    const region = { at, bytes: size }
    if (place === this.#regions.length) this.#regions.push(region)
    else this.#regions.splice(place, 0, region)
    return region
  }

  release(region: Region): void {
    const regions = this.#regions
    const place = regions.lastIndexOf(region)
    assert(place >= 0, 'a region is released once')
    // The usual one: a thread with one lookup at a time.
    if (place === regions.length - 1) regions.pop()
    else regions.splice(place, 1)
  }

  /**
   * Copies bytes out. `target.set()` would do it word by word, as shared memory is copied, and byte by byte
   * where source and target are not aligned alike: twice and fifteen times as slow
   * (docs/explanation/performance.md).
   */
  copyOut(at: number, byteCount: number, target: Uint8Array, targetAt: number): void {
    const copied = this.#buffer.copy(target, targetAt, at, at + byteCount)
    assert(copied === byteCount, 'the target has room for what is copied')
  }

  get reservedBytes(): number {
    return this.#regions.reduce((sum, region) => sum + region.bytes, 0)
  }
}

/**
 * The part of an arena that one kind of request may take. Bodies that are announced and come slowly would
 * keep all others out.
 */
export class ArenaShare {
  readonly arena: Arena
  readonly #bytesMax: number
  #usedBytes = 0

  constructor(arena: Arena, bytesMax: number) {
    this.arena = arena
    this.#bytesMax = bytesMax
  }

  /**
   * Reserves a region as the arena does. Refuses OVERLOADED when the share is used up, and when the arena is.
   */
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
   * Counts a region that was reserved in the arena itself, if the share has room for it; it is released here
   * then. Returns whether it had.
   */
  adopt(region: Region): boolean {
    if (this.#usedBytes + region.bytes > this.#bytesMax) return false
    this.#usedBytes += region.bytes
    return true
  }

  release(region: Region): void {
    this.arena.release(region)
    this.#usedBytes -= region.bytes
  }
}
