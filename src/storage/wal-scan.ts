import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import { refuseData } from './refusals.ts'

/**
 * What SQLite would make of a write-ahead log, found out before it gets to see it: SQLite ends the log at the first frame that
 * does not check out, silently, also when acknowledged commits follow.
 *
 * The log (https://sqlite.org/fileformat2.html#walformat), big-endian:
 *
 *      0  magic 0x377f0682, or ..83: checksums are sums of little-endian, or big-endian, words
 *      4  format 3007000
 *      8  page size
 *     12  counter of checkpoints
 *     16  salts: two words, new ones each time the log begins anew
 *     24  checksum of the 24 bytes above
 *     32  frames: page number, pages of the database after a commit (0: no commit), the salts, checksum, then a page.
 *         A frame's checksum goes on from that of the frame before it, over 8 bytes of its head and the page.
 *
 * Behind the last frame there may be frames of an earlier log, with other salts. What a rolled back transaction left, with the
 * same, is gone before the next begins (database.ts) or the log is emptied (each start).
 */
const HEADER_BYTES = 32
const FRAME_HEADER_BYTES = 24
const MAGIC = 0x377f0682
const FORMAT = 3007000
const READ_BYTES = 1024 * 1024

export interface LogScan {
  /** Frames that SQLite will take: those of whole commits before anything bad. */
  frameCount: number
  commitCount: number
  /** Frames of this log behind them, which SQLite drops: those of an unfinished commit. */
  droppedFrameCount: number
  /** Whole commits among the dropped, at least: 0 unless `rules` allow more. */
  lostCommitCount: number
  salts: readonly [number, number]
}

/** How far a log is known to be on disk: from an earlier sync of the same log. */
export interface SyncedFrames {
  salts: readonly [number, number]
  frameCount: number
}

export interface LogRules {
  /** Every commit was synced before the next began (synchronous=FULL): only one, the last, may be unfinished. */
  everyCommitSynced: boolean
  /** Without that: what is known to have been synced. Damage before it is refused all the same. */
  synced?: SyncedFrames | null
  /** Go back to before the damage. */
  allowLostCommits?: boolean
}

const EMPTY: LogScan = {
  frameCount: 0,
  commitCount: 0,
  droppedFrameCount: 0,
  lostCommitCount: 0,
  salts: [0, 0],
}

/**
 * Scans the log at `path`; a file that is missing is an empty log. Refuses DamagedLog for a bad header with anything behind it,
 * and for a bad frame that cannot be part of an unfinished commit. Known limits: damage in the last commit, in the end of the last
 * but one where that hides what page it wrote, and a log cut short or missing look the same as a commit that was never finished.
 */
export const scanLog = (path: string, rules: LogRules): LogScan => {
  let descriptor: number
  try {
    descriptor = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return EMPTY
    return refuseData(
      'UnsafeFile',
      path,
      `it cannot be read (${(error as NodeJS.ErrnoException).code})`,
      error,
    )
  }
  try {
    return scanFrames(path, descriptor, rules)
  } finally {
    closeSync(descriptor)
  }
}

interface LogHeader {
  pageBytes: number
  salts: readonly [number, number]
  bigEndian: boolean
  checksum: Checksum
}

const scanFrames = (path: string, descriptor: number, rules: LogRules): LogScan => {
  const fileBytes = fstatSync(descriptor).size
  const header = readHeader(descriptor, fileBytes)
  if (header === null) {
    // The header is synced before the first frame is written, so without frames nothing depended on it.
    if (fileBytes <= HEADER_BYTES) return EMPTY
    if (rules.allowLostCommits) return { ...EMPTY, lostCommitCount: 1 }
    return refuseData('DamagedLog', path, 'the header of the write-ahead log is damaged')
  }
  const { salts } = header
  const frames = new FrameReader(
    descriptor,
    header,
    Math.floor((fileBytes - HEADER_BYTES) / (FRAME_HEADER_BYTES + header.pageBytes)),
  )
  let commitCount = 0
  let frameCount = 0
  let openPages = new Set<number>()
  let frame = frames.next()
  for (; frame?.hasSalts && frame.isIntact; frame = frames.next()) {
    openPages.add(frame.page)
    if (!frame.isCommit) continue
    commitCount++
    frameCount = frame.index + 1
    openPages = new Set()
  }
  if (frame === null) {
    const started = Math.ceil((fileBytes - HEADER_BYTES) / (FRAME_HEADER_BYTES + header.pageBytes))
    const isCut = frameCount < countSynced(rules, salts)
    const scan = {
      frameCount,
      commitCount,
      droppedFrameCount: started - frameCount,
      lostCommitCount: isCut ? 1 : 0,
      salts,
    }
    if (!isCut || rules.allowLostCommits) return scan
    return refuseData(
      'DamagedLog',
      path,
      `the write-ahead log is cut short: it ends with frame ${frameCount}, and more were synced`,
    )
  }
  const rest = inspectRest(frames, frame, openPages)
  const lostCommitCount = rest.commitCount + (frame.hasSalts && frame.isCommit ? 1 : 0)
  const scan = {
    frameCount,
    commitCount,
    droppedFrameCount: frame.index - frameCount + rest.frameCount,
    lostCommitCount,
    salts,
  }
  if (!isDamage(rules, rest, frame, salts))
    return rules.everyCommitSynced ? { ...scan, lostCommitCount: 0 } : scan
  if (rules.allowLostCommits) return { ...scan, lostCommitCount: Math.max(1, lostCommitCount) }
  const behind = `frame ${frame.index + 1} of the write-ahead log is damaged, and ${rest.commitCount} commits stand behind it`
  return refuseData('DamagedLog', path, behind)
}

interface Rest {
  /** Frames with the salts of the log, the bad one included. */
  frameCount: number
  /** Ends of commits behind the bad frame. */
  commitCount: number
  /** There is a frame that the transaction of the bad frame did not write. */
  hasOtherFrame: boolean
}

/** What stands behind the bad frame; `openPages` are those that its transaction wrote before it. */
const inspectRest = (frames: FrameReader, badFrame: Frame, openPages: Set<number>): Rest => {
  const rest = { frameCount: badFrame.hasSalts ? 1 : 0, commitCount: 0, hasOtherFrame: false }
  let transactionEnded = badFrame.hasSalts && badFrame.isCommit
  for (let frame = frames.next(); frame !== null; frame = frames.next()) {
    if (!frame.hasSalts) continue
    rest.frameCount++
    // A transaction writes each page once, and its end last.
    if (transactionEnded || openPages.has(frame.page)) rest.hasOtherFrame = true
    openPages.add(frame.page)
    if (!frame.isCommit) continue
    rest.commitCount++
    transactionEnded = true
  }
  return rest
}

const isDamage = (
  rules: LogRules,
  rest: Rest,
  badFrame: Frame,
  salts: readonly [number, number],
): boolean => {
  // No unfinished write leaves a frame that fits into the chain but for its salts.
  if (badFrame.isIntact) return true
  // With every commit synced, a transaction begins only when the one before it is on disk, every frame of it.
  if (rules.everyCommitSynced) return rest.hasOtherFrame
  return badFrame.index < countSynced(rules, salts)
}

/** How many frames of this log are known to have been synced. */
const countSynced = ({ synced }: LogRules, salts: readonly [number, number]): number =>
  synced?.salts[0] === salts[0] && synced.salts[1] === salts[1] ? synced.frameCount : 0

const readHeader = (descriptor: number, fileBytes: number): LogHeader | null => {
  const bytes = Buffer.alloc(HEADER_BYTES)
  if (fileBytes < HEADER_BYTES || readSync(descriptor, bytes, 0, HEADER_BYTES, 0) < HEADER_BYTES) return null
  const magic = bytes.readUInt32BE(0)
  const pageBytes = bytes.readUInt32BE(8)
  const isPowerOfTwo = pageBytes >= 512 && pageBytes <= 65_536 && (pageBytes & (pageBytes - 1)) === 0
  if ((magic & ~1) !== MAGIC || bytes.readUInt32BE(4) !== FORMAT || !isPowerOfTwo) return null
  const bigEndian = (magic & 1) === 1
  const checksum = addChecksum([0, 0], bytes, 0, 24, bigEndian)
  if (checksum[0] !== bytes.readUInt32BE(24) || checksum[1] !== bytes.readUInt32BE(28)) return null
  return { pageBytes, salts: [bytes.readUInt32BE(16), bytes.readUInt32BE(20)], bigEndian, checksum }
}

type Checksum = readonly [number, number]

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

interface Frame {
  index: number
  /** Carries the salts of the log, which no checksum covers. */
  hasSalts: boolean
  /** Its checksum goes on from that of the frame before. */
  isIntact: boolean
  isCommit: boolean
  page: number
}

/** The frames of a log in order, a MiB at a time. A log ends with its last frame of full length. */
class FrameReader {
  readonly count: number
  readonly #descriptor: number
  readonly #header: LogHeader
  readonly #frameBytes: number
  readonly #buffer: Buffer
  #buffered = { firstFrame: 0, frameCount: 0 }
  #nextFrame = 0
  /** Of the frame before, as it is stored. */
  #checksum: Checksum

  constructor(descriptor: number, header: LogHeader, count: number) {
    this.count = count
    this.#descriptor = descriptor
    this.#header = header
    this.#frameBytes = FRAME_HEADER_BYTES + header.pageBytes
    const bufferedMax = Math.min(Math.max(1, count), Math.floor(READ_BYTES / this.#frameBytes))
    this.#buffer = Buffer.alloc(bufferedMax * this.#frameBytes)
    this.#checksum = header.checksum
  }

  next(): Frame | null {
    const index = this.#nextFrame++
    if (index >= this.count) return null
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
    const bytes = readSync(
      this.#descriptor,
      this.#buffer,
      0,
      this.#buffer.length,
      HEADER_BYTES + firstFrame * this.#frameBytes,
    )
    this.#buffered = { firstFrame, frameCount: Math.max(1, Math.floor(bytes / this.#frameBytes)) }
  }
}
