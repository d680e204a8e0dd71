/**
 * Checks a write-ahead log before SQLite opens it. SQLite silently ends the log at the first frame with a
 * wrong checksum, even if acknowledged commits follow it; this scan refuses such a log instead.
 */
import { closeSync, constants, openSync } from 'node:fs'
import { refuseDiskError } from './disk-errors.ts'
import { refuseData } from './refusals.ts'
import { type Frame, type FrameReader, LOG_HEADER_BYTES, openLog, type Salts } from './wal-frames.ts'

export interface LogScan {
  /** Number of frames that SQLite will use: those of complete commits before anything damaged. */
  frameCount: number
  commitCount: number
  /** Number of frames of this log behind them, which SQLite drops: those of an unfinished commit. */
  droppedFrameCount: number
  /** The least number of complete commits among the dropped frames: 0 unless `rules` allow more. */
  lostCommitCount: number
  salts: Salts
  /** The length of the log with all complete commits and nothing behind them. */
  wholeBytes: number
}

/** How far a log is known to be on disk, from an earlier sync of the same log. */
export interface SyncedFrames {
  salts: Salts
  frameCount: number
  /**
   * Whether this is cleared before a log is emptied, so that a log which is missing, or another one, is not
   * what gatherd has left.
   */
  isCleared: boolean
}

export interface LogRules {
  /**
   * Whether every commit was synced before the next began (synchronous=FULL), so that only the last one may
   * be unfinished.
   */
  everyCommitSynced: boolean
  /** The frames that are known to be synced. Damage among these is refused, and so is their absence. */
  synced?: SyncedFrames | null
  /** Whether the directory has had a watermark, so that a log that is missing with it is refused. */
  needsWatermark?: boolean
  /** Whether to go back to before the damage instead of refusing. */
  allowLostCommits?: boolean
}

const EMPTY: LogScan = {
  frameCount: 0,
  commitCount: 0,
  droppedFrameCount: 0,
  lostCommitCount: 0,
  salts: [0, 0],
  wholeBytes: 0,
}

/**
 * Scans the log at `path`; a missing file is an empty log. Refuses DamagedLog for a damaged header that
 * anything follows, for a damaged frame that cannot be part of an unfinished commit, and for a log that has
 * fewer frames than were synced. Behind the synced watermark, which a power cut may set back, three things
 * look the same as a commit that was never finished: damage in the last commit, damage at the end of the last
 * but one where it hides which page was written, and a log that is cut short.
 */
export const scanLog = (path: string, rules: LogRules): LogScan => {
  let descriptor: number
  try {
    descriptor = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return scanNothing(path, rules, 'missing')
    if (code === 'ELOOP') return refuseData('UnsafeFile', path, 'it is a symbolic link', error)
    return refuseDiskError(path, error)
  }
  try {
    return scanFrames(path, descriptor, rules)
  } catch (error) {
    return refuseDiskError(path, error)
  } finally {
    closeSync(descriptor)
  }
}

/** The scan of a log without frames. Refuses DamagedLog unless a clean stop has emptied it. */
const scanNothing = (path: string, rules: LogRules, state: 'missing' | 'empty'): LogScan => {
  const { synced = null, needsWatermark = false } = rules
  const isLost = synced === null ? needsWatermark : synced.isCleared && synced.frameCount > 0
  if (!isLost) return EMPTY
  if (rules.allowLostCommits) return { ...EMPTY, lostCommitCount: 1 }
  const known =
    synced === null
      ? 'so is the record of what was synced, without which it may have had commits'
      : `${synced.frameCount} frames of it were synced, and no clean stop has moved them into the database`
  return refuseData('DamagedLog', path, `the write-ahead log is ${state}: ${known}`)
}

const scanFrames = (path: string, descriptor: number, rules: LogRules): LogScan => {
  const log = openLog(descriptor)
  if (log === 'empty') return scanNothing(path, rules, 'empty')
  if (log === null) {
    if (rules.allowLostCommits) return { ...EMPTY, lostCommitCount: 1 }
    return refuseData('DamagedLog', path, 'the header of the write-ahead log is damaged')
  }
  const { frames, salts } = log
  const isOther = isEarlierLog(rules, salts)
  if (isOther && !rules.allowLostCommits)
    refuseData('DamagedLog', path, 'the write-ahead log is not the one that was synced last')
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
  const found = { frameCount, commitCount, salts, wholeBytes: countBytes(frameCount, log.frameBytes) }
  if (frame === null) {
    const isCut = isOther || frameCount < countSynced(rules, salts)
    const droppedFrameCount = log.startedCount - frameCount
    const scan = { ...found, droppedFrameCount, lostCommitCount: isCut ? 1 : 0 }
    if (!isCut || rules.allowLostCommits) return scan
    const what = `the write-ahead log is cut short: it ends with frame ${frameCount}, and more were synced`
    return refuseData('DamagedLog', path, what)
  }
  const rest = inspectRest(frames, frame, openPages)
  const lostCommitCount = rest.commitCount + (frame.hasSalts && frame.isCommit ? 1 : 0)
  const droppedFrameCount = frame.index - frameCount + rest.frameCount
  const scan = { ...found, droppedFrameCount, lostCommitCount }
  if (!isOther && !isDamage(rules, rest, frame, salts))
    return rules.everyCommitSynced ? { ...scan, lostCommitCount: 0 } : scan
  if (rules.allowLostCommits) return { ...scan, lostCommitCount: Math.max(1, lostCommitCount) }
  const where = `frame ${frame.index + 1} of the write-ahead log`
  const why = rest.commitCount > 0 ? `${rest.commitCount} commits follow it` : 'its commit was finished'
  return refuseData('DamagedLog', path, `${where} is damaged, and ${why}`)
}

const countBytes = (frameCount: number, frameBytes: number): number =>
  frameCount === 0 ? 0 : LOG_HEADER_BYTES + frameCount * frameBytes

interface Rest {
  /** Frames with the salts of the log, the damaged one included. */
  frameCount: number
  /** Ends of commits behind the damaged frame. */
  commitCount: number
  /** Whether there is a frame that the transaction of the damaged frame did not write. */
  hasOtherFrame: boolean
}

/** Inspects the frames behind the damaged one. `openPages` are those that its transaction wrote before it. */
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

const isDamage = (rules: LogRules, rest: Rest, badFrame: Frame, salts: Salts): boolean => {
  // An unfinished write never leaves a frame that fits into the chain of checksums but has other salts.
  if (badFrame.isIntact) return true
  if (badFrame.index < countSynced(rules, salts)) return true
  // With every commit synced, a transaction begins only when every frame of the one before it is on disk.
  return rules.everyCommitSynced && rest.hasOtherFrame
}

/** The number of frames of this log that are known to be synced. */
const countSynced = ({ synced }: LogRules, salts: Salts): number =>
  synced?.salts[0] === salts[0] && synced.salts[1] === salts[1] ? synced.frameCount : 0

/**
 * Whether the log is neither the one that was synced last nor one that followed it. SQLite counts the first
 * salt up, modulo 2^32, each time a log begins anew.
 */
const isEarlierLog = ({ synced }: LogRules, salts: Salts): boolean => {
  if (!synced?.isCleared || synced.frameCount === 0) return false
  const ahead = (salts[0] - synced.salts[0]) >>> 0
  return ahead === 0 ? salts[1] !== synced.salts[1] : ahead >= 2 ** 31
}
