import { refuse } from '../core/errors.ts'
import type { Arena, Region } from './arena.ts'

/** What one kind of request may take of an arena: those that are announced and come slowly would keep all others out. */
export class ArenaShare {
  readonly arena: Arena
  readonly #bytesMax: number
  #usedBytes = 0

  constructor(arena: Arena, bytesMax: number) {
    this.arena = arena
    this.#bytesMax = bytesMax
  }

  /** As that of the arena. Refuses OVERLOADED when the share is used up, and when the arena is. */
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

  /** Whether a region of the arena, reserved by itself, finds room in the share. Then it is released here. */
  keep(region: Region): boolean {
    if (this.#usedBytes + region.bytes > this.#bytesMax) return false
    this.#usedBytes += region.bytes
    return true
  }

  release(region: Region): void {
    this.arena.release(region)
    this.#usedBytes -= region.bytes
  }
}
