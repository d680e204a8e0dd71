/**
 * Reads the header and the frames of one of SQLite's write-ahead logs.
 *
 * The log (https://sqlite.org/fileformat2.html#walformat), big-endian:
 *
 *      0  magic 0x377f0682, or ..83: checksums are sums of little-endian, or big-endian, words
 *      4  format 3007000
 *      8  page size
 *     12  counter of checkpoints
 *     16  salts: two words, new ones each time the log begins anew
 *     24  checksum of the 24 bytes above
 *     32  frames: page number, pages of the database after a commit (0: no commit), the salts, checksum,
 *         then a page. A frame's checksum continues that of the frame before it, over 8 bytes of its head
 *         and the page.
 *
 * Frames of an earlier log, with other salts, may follow the last frame. Frames that a rolled back
 * transaction left have the same salts; they are gone before the next transaction begins (database.ts), or
 * each start empties the log.
 */
import { fstatSync } from 'node:fs'
import { assert } from '../core/assert.ts'
import { readFullySync } from '../system/reads.ts'

/** The frames begin behind it. */
export const LOG_HEADER_BYTES = 32
const FRAME_HEADER_BYTES = 24
const MAGIC = 0x377f0682
const FORMAT = 3007000
const READ_BYTES = 1024 * 1024

/** The two words that tell one log from the next in the same file. */
export type Salts = readonly [number, number]
type Checksum = readonly [number, number]

interface LogHeader {
  pageBytes: number
  salts: Salts
  bigEndian: boolean
  checksum: Checksum
}

/** A frame of a log. */
export interface Frame {
  index: number
  /** Whether it carries the salts of the log, which no checksum covers. */
  hasSalts: boolean
  /** Whether its checksum continues that of the frame before. */
  isIntact: boolean
  isCommit: boolean
  page: number
}

/** An open log: how long it is, and its frames. */
export interface OpenLog {
  salts: Salts
  /** The length of one frame with its head. */
  frameBytes: number
  /** Frames that have begun, the last of which may be cut short. */
  startedCount: number
  frames: FrameReader
}

/**
 * Opens the log behind `descriptor`. Returns null if its header is damaged, and 'empty' if nothing follows a
 * header.
 */
export const openLog = (descriptor: number): OpenLog | 'empty' | null => {
  const fileBytes = fstatSync(descriptor).size
  const header = readHeader(descriptor)
  // SQLite syncs the header before it writes the first frame, so without frames nothing depended on it.
  if (header === null) return fileBytes <= LOG_HEADER_BYTES ? 'empty' : null
  const frameBytes = FRAME_HEADER_BYTES + header.pageBytes
  const count = (fileBytes - LOG_HEADER_BYTES) / frameBytes
  const frames = new FrameReader(descriptor, header, Math.floor(count))
  return { salts: header.salts, frameBytes, startedCount: Math.ceil(count), frames }
}

const readHeader = (descriptor: number): LogHeader | null => {
  const bytes = Buffer.alloc(LOG_HEADER_BYTES)
  if (readFullySync(descriptor, bytes, 0) < LOG_HEADER_BYTES) return null
  const magic = bytes.readUInt32BE(0)
  const pageBytes = bytes.readUInt32BE(8)
  const isPowerOfTwo = pageBytes >= 512 && pageBytes <= 65_536 && (pageBytes & (pageBytes - 1)) === 0
  if ((magic & ~1) !== MAGIC || bytes.readUInt32BE(4) !== FORMAT || !isPowerOfTwo) return null
  const bigEndian = (magic & 1) === 1
  const checksum = addChecksum([0, 0], bytes, 0, 24, bigEndian)
  if (checksum[0] !== bytes.readUInt32BE(24) || checksum[1] !== bytes.readUInt32BE(28)) return null
  return { pageBytes, salts: [bytes.readUInt32BE(16), bytes.readUInt32BE(20)], bigEndian, checksum }
}

/** SQLite's running checksum: two words, over pairs of words. */
const addChecksum = (
  from: Checksum,
  bytes: Buffer,
  at: number,
  length: number,
  bigEndian: boolean,
): Checksum => {
  let [first, second] = from
  for (let i = at; i < at + length; i += 8) {
    first = (first + (bigEndian ? bytes.readInt32BE(i) : bytes.readInt32LE(i)) + second) | 0
    second = (second + (bigEndian ? bytes.readInt32BE(i + 4) : bytes.readInt32LE(i + 4)) + first) | 0
  }
  return [first >>> 0, second >>> 0]
}

/** The frames of a log in order, read a MiB at a time. A log ends with its last frame of full length. */
export class FrameReader {
  readonly #count: number
  readonly #descriptor: number
  readonly #header: LogHeader
  readonly #frameBytes: number
  readonly #buffer: Buffer
  #buffered = { firstFrame: 0, frameCount: 0 }
  #nextFrame = 0
  /** The checksum of the frame before, as it is stored. */
  #checksum: Checksum

  constructor(descriptor: number, header: LogHeader, count: number) {
    this.#count = count
    this.#descriptor = descriptor
    this.#header = header
    this.#frameBytes = FRAME_HEADER_BYTES + header.pageBytes
    const bufferedMax = Math.min(Math.max(1, count), Math.floor(READ_BYTES / this.#frameBytes))
    this.#buffer = Buffer.alloc(bufferedMax * this.#frameBytes)
    this.#checksum = header.checksum
  }

  /** Reads the next frame; null at the end. */
  next(): Frame | null {
    const index = this.#nextFrame++
    if (index >= this.#count) return null
    if (index >= this.#buffered.firstFrame + this.#buffered.frameCount) this.#fill(index)
    const at = (index - this.#buffered.firstFrame) * this.#frameBytes
    const bytes = this.#buffer
    const { salts, bigEndian, pageBytes } = this.#header
    const hasSalts = bytes.readUInt32BE(at + 8) === salts[0] && bytes.readUInt32BE(at + 12) === salts[1]
    const stored: Checksum = [bytes.readUInt32BE(at + 16), bytes.readUInt32BE(at + 20)]
    const head = addChecksum(this.#checksum, bytes, at, 8, bigEndian)
    const sum = addChecksum(head, bytes, at + FRAME_HEADER_BYTES, pageBytes, bigEndian)
    const page = bytes.readUInt32BE(at)
    const isIntact = page !== 0 && sum[0] === stored[0] && sum[1] === stored[1]
    this.#checksum = stored
    return { index, hasSalts, isIntact, isCommit: bytes.readUInt32BE(at + 4) !== 0, page }
  }

  #fill(firstFrame: number): void {
    const at = LOG_HEADER_BYTES + firstFrame * this.#frameBytes
    const bytes = readFullySync(this.#descriptor, this.#buffer, at)
    // The number of frames was taken from the length of the file, which no other process may change.
    assert(bytes >= this.#frameBytes, 'a log is as long as it was when it was opened')
    this.#buffered = { firstFrame, frameCount: Math.floor(bytes / this.#frameBytes) }
  }
}
