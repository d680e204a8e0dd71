/** A file that only takes up space, so that deletions find some on a full disk. */
import { randomFillSync } from 'node:crypto'
import { closeSync, constants, fstatSync, fsyncSync, ftruncateSync, openSync, writeSync } from 'node:fs'
import { GatherdError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { classifyDiskError } from './disk-errors.ts'

/**
 * The space reserve of a data directory. A deletion is a commit like any other and needs some space in the
 * log before its files can be removed, so on a full disk the reserve is released for it. The file is kept
 * open, because releasing must not need a descriptor either.
 */
export class SpaceReserve {
  readonly #descriptor: number

  /** Opens the file, or creates it; {@link SpaceReserve.fill} reserves the space. */
  constructor(path: string) {
    this.#descriptor = openSync(path, constants.O_CREAT | constants.O_RDWR | constants.O_NOFOLLOW, 0o600)
  }

  /** Whether there is nothing left to release. */
  get isReleased(): boolean {
    return fstatSync(this.#descriptor).size < LIMITS.diskReserveBytes
  }

  /**
   * Reserves the space, and returns whether there was enough. The bytes are random, because some file systems
   * store zeros without blocks.
   */
  fill(): boolean {
    if (!this.isReleased) return true
    const bytes = randomFillSync(Buffer.alloc(LIMITS.diskReserveBytes))
    try {
      for (let done = 0; done < bytes.length; ) {
        const written = writeSync(this.#descriptor, bytes, done, bytes.length - done, done)
        if (written === 0) break
        done += written
      }
      fsyncSync(this.#descriptor)
      return !this.isReleased
    } catch (error) {
      // The next commit tells what is wrong with the disk.
      if (classifyDiskError(error) === null) throw error
      this.release()
      return false
    }
  }

  /** Runs `write`, which frees space later; once more with the reserve released if the disk is full. */
  runFreeing<Result>(write: () => Result): Result {
    try {
      return write()
    } catch (error) {
      const isFull = error instanceof GatherdError && error.code === 'DISK_FULL'
      if (!isFull || this.isReleased) throw error
      this.release()
      return write()
    }
  }

  /** Gives the space back to the disk. */
  release(): void {
    ftruncateSync(this.#descriptor, 0)
  }

  close(): void {
    closeSync(this.#descriptor)
  }
}
