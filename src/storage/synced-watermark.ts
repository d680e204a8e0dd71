/**
 * The synced watermark: how many frames of a log are on disk. It is written after each sync, so that the next
 * start refuses a log that has lost synced commits, though it may lose later ones. It is not synced itself:
 * an old watermark, or none, promises less, and a damaged one nothing.
 *
 *     0  magic "GSYM"
 *     4  salts of the log, 2 x uint32
 *    12  frames, uint32
 *    16  CRC-32 of the above, uint32
 */
import { closeSync, constants, openSync, readSync, writeSync } from 'node:fs'
import { crc32 } from 'node:zlib'
import type { SyncedFrames } from './wal-scan.ts'

const MAGIC = 0x4d595347
const WATERMARK_BYTES = 20

/** Reads a watermark; null when there is none, or it is damaged. */
export const readSyncedWatermark = (path: string): SyncedFrames | null => {
  const bytes = Buffer.alloc(WATERMARK_BYTES)
  let descriptor: number
  try {
    descriptor = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW)
  } catch {
    return null
  }
  try {
    if (
      readSync(descriptor, bytes, 0, WATERMARK_BYTES, 0) !== WATERMARK_BYTES ||
      bytes.readUInt32LE(0) !== MAGIC
    )
      return null
    if (bytes.readUInt32LE(16) !== crc32(bytes.subarray(0, 16))) return null
    return { salts: [bytes.readUInt32LE(4), bytes.readUInt32LE(8)], frameCount: bytes.readUInt32LE(12) }
  } finally {
    closeSync(descriptor)
  }
}

/** The watermark of one log, kept open. */
export class SyncedWatermark {
  readonly path: string
  readonly #descriptor: number

  constructor(path: string) {
    this.path = path
    this.#descriptor = openSync(path, constants.O_CREAT | constants.O_RDWR | constants.O_NOFOLLOW, 0o600)
  }

  /** Records that this many frames are synced. */
  write({ salts, frameCount }: SyncedFrames): void {
    const bytes = Buffer.alloc(WATERMARK_BYTES)
    bytes.writeUInt32LE(MAGIC, 0)
    bytes.writeUInt32LE(salts[0], 4)
    bytes.writeUInt32LE(salts[1], 8)
    bytes.writeUInt32LE(frameCount, 12)
    bytes.writeUInt32LE(crc32(bytes.subarray(0, 16)), 16)
    writeSync(this.#descriptor, bytes, 0, WATERMARK_BYTES, 0)
  }

  close(): void {
    closeSync(this.#descriptor)
  }
}
