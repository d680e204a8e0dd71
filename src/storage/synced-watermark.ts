import { closeSync, constants, openSync, readSync, writeSync } from 'node:fs'
import { crc32 } from 'node:zlib'
import type { SyncedFrames } from './wal-scan.ts'

/*
 * How much of a log was synced, written after the sync: from it on, a log of which some commits may be lost still cannot lose
 * those. Not synced itself. An old one, or none, says less; a damaged one says nothing.
 *
 *     0  magic "GSYM"
 *     4  salts of the log, 2 x uint32
 *    12  frames, uint32
 *    16  CRC-32 of the above, uint32
 */
const MAGIC = 0x4d595347
const MARK_BYTES = 20

/** Reads a mark; null when there is none, or it is damaged. */
export const readSyncedWatermark = (path: string): SyncedFrames | null => {
  const bytes = Buffer.alloc(MARK_BYTES)
  let descriptor: number
  try {
    descriptor = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW)
  } catch {
    return null
  }
  try {
    if (readSync(descriptor, bytes, 0, MARK_BYTES, 0) !== MARK_BYTES || bytes.readUInt32LE(0) !== MAGIC)
      return null
    if (bytes.readUInt32LE(16) !== crc32(bytes.subarray(0, 16))) return null
    return { salts: [bytes.readUInt32LE(4), bytes.readUInt32LE(8)], frameCount: bytes.readUInt32LE(12) }
  } finally {
    closeSync(descriptor)
  }
}

/** The mark of one log, kept open. */
export class SyncedWatermark {
  readonly #descriptor: number

  constructor(path: string) {
    this.#descriptor = openSync(path, constants.O_CREAT | constants.O_RDWR | constants.O_NOFOLLOW, 0o600)
  }

  write({ salts, frameCount }: SyncedFrames): void {
    const bytes = Buffer.alloc(MARK_BYTES)
    bytes.writeUInt32LE(MAGIC, 0)
    bytes.writeUInt32LE(salts[0], 4)
    bytes.writeUInt32LE(salts[1], 8)
    bytes.writeUInt32LE(frameCount, 12)
    bytes.writeUInt32LE(crc32(bytes.subarray(0, 16)), 16)
    writeSync(this.#descriptor, bytes, 0, MARK_BYTES, 0)
  }

  close(): void {
    closeSync(this.#descriptor)
  }
}
