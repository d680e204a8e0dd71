/**
 * The synced watermark of a log: how many of its frames are on disk. It is written after each sync, so that
 * the next start refuses a log that has lost synced commits, though it may lose later ones. Before a log is
 * emptied, its watermark is cleared: that is the mark of a clean stop, without which a missing log is
 * refused. Only clearing is synced: an old watermark of a log, or of an earlier one, promises less, never too
 * much.
 *
 *     0  magic "GSY2"; "GSYM" of earlier releases, which did not clear it
 *     4  salts of the log, 2 x uint32
 * 12  frames, uint32; 0: the log may be missing 16  CRC-32 of the above, uint32
 */
import { closeSync, constants, fstatSync, fsyncSync, openSync, statSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { crc32 } from 'node:zlib'
import { isDiskFullCode, syncDirectory } from '../system/disk.ts'
import { readFullySync } from '../system/reads.ts'
import { classifyDiskError, refuseDiskError } from './disk-errors.ts'
import type { SyncedFrames } from './wal-scan.ts'

const MAGIC = 0x32595347
const MAGIC_NEVER_CLEARED = 0x4d595347
const WATERMARK_BYTES = 20
const CLEARED = { salts: [0, 0], frameCount: 0 } as const

/**
 * Reads a watermark; null when there is none, or it is damaged. Refuses Unreadable and NotOpened, because a
 * watermark that cannot be read may say that the log is damaged.
 */
export const readSyncedWatermark = (path: string): SyncedFrames | null => {
  const bytes = Buffer.alloc(WATERMARK_BYTES)
  let descriptor: number
  try {
    descriptor = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    return refuseDiskError(path, error)
  }
  try {
    if (readFullySync(descriptor, bytes, 0) !== WATERMARK_BYTES) return null
  } catch (error) {
    return refuseDiskError(path, error)
  } finally {
    closeSync(descriptor)
  }
  const magic = bytes.readUInt32LE(0)
  if (magic !== MAGIC && magic !== MAGIC_NEVER_CLEARED) return null
  if (bytes.readUInt32LE(16) !== crc32(bytes.subarray(0, 16))) return null
  return {
    salts: [bytes.readUInt32LE(4), bytes.readUInt32LE(8)],
    frameCount: bytes.readUInt32LE(12),
    isCleared: magic === MAGIC,
  }
}

/** The watermark of one log, kept open. */
export class SyncedWatermark {
  readonly path: string
  readonly #descriptor: number

  /** Opens the watermark at `path`, or creates it, cleared. */
  constructor(path: string) {
    this.path = path
    this.#descriptor = openSync(path, constants.O_CREAT | constants.O_RDWR | constants.O_NOFOLLOW, 0o600)
    if (fstatSync(this.#descriptor).size === 0) this.#create()
  }

  /** A full disk leaves the file empty: it promises nothing, and the next start writes it. */
  #create(): void {
    try {
      this.clear()
      syncDirectory(dirname(this.path))
    } catch (error) {
      if (isDiskFullCode((error as NodeJS.ErrnoException).code)) return
      closeSync(this.#descriptor)
      throw error
    }
  }

  /** Records that this many frames are synced. */
  write({ salts, frameCount }: Pick<SyncedFrames, 'salts' | 'frameCount'>): void {
    const bytes = Buffer.alloc(WATERMARK_BYTES)
    bytes.writeUInt32LE(MAGIC, 0)
    bytes.writeUInt32LE(salts[0], 4)
    bytes.writeUInt32LE(salts[1], 8)
    bytes.writeUInt32LE(frameCount, 12)
    bytes.writeUInt32LE(crc32(bytes.subarray(0, 16)), 16)
    writeSync(this.#descriptor, bytes, 0, WATERMARK_BYTES, 0)
  }

  /** Records, durably, that the log may be empty or missing from now on. */
  clear(): void {
    this.write(CLEARED)
    fsyncSync(this.#descriptor)
  }

  /**
   * Calls `close`, at which SQLite moves the log into the database and removes it if it can, and closes the
   * watermark. It is cleared meanwhile, and written again if the log stays.
   */
  closeAround(log: string, close: () => void): void {
    const before = readSyncedWatermark(this.path)
    try {
      this.clear()
    } catch (error) {
      // The disk fails, and what it keeps of the log is not known.
      if (classifyDiskError(error) === null) throw error
    }
    try {
      close()
    } finally {
      const status = statSync(log, { throwIfNoEntry: false })
      if (before?.isCleared === true && status !== undefined && status.size > 0) this.write(before)
      closeSync(this.#descriptor)
    }
  }

  close(): void {
    closeSync(this.#descriptor)
  }
}
