/** Removes uploads and records that are too old. */
import { readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { ignoreMissing } from './disk.ts'
import { lastActivity, writtenAt } from './idle.ts'
import { isHidden, isIncoming, isUploadId, parseRecordName, type Staging } from './layout.ts'
import { removeRecord } from './records.ts'
import { removeDirectory } from './uploads.ts'

/**
 * A part that was not written to for this long is no longer being received, since an idle body is aborted
 * much earlier.
 */
const leftoverMs = ({ limits }: Staging): number => 10 * limits.uploadIdleMsMax

interface Entry {
  name: string
  ageMs: number
}

/**
 * Removes uploads without activity for `uploadAgeMsMax`, old records, records beyond the
 * `uploadRememberedCountMax` newest, and what crashes left behind. Several HTTP workers may sweep at the same
 * time. Foreign files are left alone.
 */
export const sweepUploads = async (staging: Staging): Promise<void> => {
  const { directory, limits } = staging
  const entries = await listAges(staging, directory, () => true)
  const records = entries
    .flatMap(({ name, ageMs }) => ({ id: parseRecordName(name), ageMs }))
    .filter(({ id }) => id !== undefined)
  const committed = new Set(records.map(({ id }) => id))
  for (const { name, ageMs } of entries) {
    if (isHidden(name) && ageMs > leftoverMs(staging))
      await rm(join(directory, name), { recursive: true, force: true })
    if (!isUploadId(name)) continue
    // A crash between the last two steps of a commit leaves both the record and the directory.
    const activeAt = await lastActivity(staging, join(directory, name))
    const isOld = activeAt !== undefined && Date.now() - activeAt >= limits.uploadAgeMsMax
    if (isOld || committed.has(name)) await removeDirectory(staging, name)
    else await removeCutParts(staging, join(directory, name))
  }
  records.sort((a, b) => a.ageMs - b.ageMs)
  for (const [place, { id, ageMs }] of records.entries()) {
    const isForgotten = place >= limits.uploadRememberedCountMax || ageMs >= limits.uploadRememberedMsMax
    if (isForgotten && id !== undefined) await removeRecord(staging, id)
  }
}

const removeCutParts = async (staging: Staging, directory: string): Promise<void> => {
  for (const { name, ageMs } of await listAges(staging, directory, isIncoming)) {
    if (ageMs > leftoverMs(staging)) await rm(join(directory, name), { force: true })
  }
}

const listAges = async (
  staging: Staging,
  directory: string,
  matches: (name: string) => boolean,
): Promise<Entry[]> => {
  const entries: Entry[] = []
  for (const name of (await readdir(directory).catch(ignoreMissing)) ?? []) {
    const stats = matches(name) ? await stat(join(directory, name)).catch(ignoreMissing) : undefined
    if (stats !== undefined) entries.push({ name, ageMs: Date.now() - writtenAt(staging, stats.mtimeMs) })
  }
  return entries
}

/**
 * Sweeps now and every `uploadSweepMs`, until the returned function is called. Failures go to `onError`, and
 * the next sweep tries again.
 */
export const keepSweeping = (staging: Staging, onError: (error: unknown) => void): (() => void) => {
  const sweep = (): void => void sweepUploads(staging).catch(onError)
  sweep()
  const timer = setInterval(sweep, staging.limits.uploadSweepMs)
  timer.unref()
  return () => clearInterval(timer)
}
