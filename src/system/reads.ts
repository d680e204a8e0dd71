/**
 * Reads that do not take a fault for the contents of a file. A disk, a network volume or a signal can fail
 * one read and answer the next, and a read may return less than it was asked for.
 */
import { fstatSync, readSync } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'

/** A failed read is tried this often in all, with this pause before each further try. */
const TRIES = 3
const PAUSE_MS = 20

/** The error of a read that returned nothing although the file goes on. */
const shortRead = (position: number, fileBytes: number): Error =>
  Object.assign(new Error(`a read at byte ${position} of ${fileBytes} returned nothing`), {
    code: 'EIO',
    syscall: 'read',
  })

/** Never changes, so that waiting for it is a pause of this thread. */
const PAUSE = new Int32Array(new SharedArrayBuffer(4))

/**
 * Fills `buffer` from `at` on, and returns the bytes read: fewer than asked for only at the end of the file.
 * Throws the error of the system after {@link TRIES} tries.
 */
export const readFullySync = (descriptor: number, buffer: Uint8Array, at: number): number => {
  let done = 0
  for (let tries = 1; done < buffer.length; ) {
    try {
      const bytesRead = readSync(descriptor, buffer, done, buffer.length - done, at + done)
      done += bytesRead
      if (bytesRead > 0) continue
      const { size } = fstatSync(descriptor)
      if (at + done >= size) return done
      throw shortRead(at + done, size)
    } catch (error) {
      if (tries++ === TRIES) throw error
      Atomics.wait(PAUSE, 0, 0, PAUSE_MS)
    }
  }
  return done
}

/** Does the same into several views without blocking the thread. */
export const readFully = async (handle: FileHandle, views: Uint8Array[], at: number): Promise<number> => {
  let rest = views.filter((view) => view.length > 0)
  let position = at
  for (let tries = 1; rest.length > 0; ) {
    try {
      const { bytesRead } = await handle.readv(rest, position)
      position += bytesRead
      rest = dropBytes(rest, bytesRead)
      if (bytesRead > 0) continue
      const { size } = await handle.stat()
      if (position >= size) break
      throw shortRead(position, size)
    } catch (error) {
      if (tries++ === TRIES) throw error
      await sleep(PAUSE_MS)
    }
  }
  return position - at
}

const dropBytes = (views: readonly Uint8Array[], count: number): Uint8Array[] => {
  const rest: Uint8Array[] = []
  let left = count
  for (const view of views) {
    if (left < view.length) rest.push(view.subarray(left))
    left = Math.max(0, left - view.length)
  }
  return rest
}
