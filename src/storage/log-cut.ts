/** Cuts a write-ahead log behind its last complete commit, before SQLite opens it. */
import { closeSync, constants, copyFileSync, existsSync, fsyncSync, ftruncateSync, openSync } from 'node:fs'
import { nameDamaged } from './damaged-files.ts'
import { refuseDiskError } from './disk-errors.ts'
import type { SyncedWatermark } from './synced-watermark.ts'
import type { LogScan } from './wal-scan.ts'

/**
 * Cuts what the scan found behind the last complete commit, durably. SQLite would ignore these frames, but
 * when they stay, a later scan cannot tell them from damage, and a checkpoint, which removes them too, needs
 * space. If recovery goes back before complete commits, a copy of the log is kept beside it.
 */
export const cutLog = (path: string, scan: LogScan, watermark: SyncedWatermark, goesBack: boolean): void => {
  if (scan.droppedFrameCount === 0 && scan.lostCommitCount === 0) return
  try {
    const isLossy = goesBack && scan.lostCommitCount > 0
    if (isLossy && existsSync(path)) copyFileSync(path, nameDamaged(path), constants.COPYFILE_EXCL)
    // The watermark may be that of an earlier log, or of the commits that recovery goes back before.
    if (isLossy || scan.wholeBytes === 0) watermark.clear()
    if (existsSync(path)) truncateFile(path, scan.wholeBytes)
  } catch (error) {
    refuseDiskError(path, error)
  }
}

const truncateFile = (path: string, bytes: number): void => {
  const descriptor = openSync(path, constants.O_RDWR | constants.O_NOFOLLOW)
  try {
    ftruncateSync(descriptor, bytes)
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}
