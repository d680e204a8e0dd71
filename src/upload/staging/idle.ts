/** How long staged uploads have been without activity. */
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { ignoreMissing } from './disk.ts'
import { isIncoming, parseCommitName, type Staging } from './layout.ts'

/**
 * Returns the age of a time stamp of a file. A clock that is wrong for one start makes nothing old at once: time
 * before the start of the service counts for `uploadAgeBeforeStartMsMax` at most.
 */
export const ageOf = ({ upMs = () => Infinity, limits }: Staging, mtimeMs: number): number =>
  Math.max(0, Math.min(Date.now() - mtimeMs, upMs() + limits.uploadAgeBeforeStartMsMax))

/**
 * Returns how long an open upload has been without activity; undefined when it does not exist. A part that is
 * being received and a commit that runs are activity.
 */
export const idleOf = async (staging: Staging, directory: string): Promise<number | undefined> => {
  const names = (await readdir(directory).catch(ignoreMissing)) ?? []
  const active = names.filter((name) => isIncoming(name) || parseCommitName(name) > 0)
  const ages: number[] = []
  for (const path of [directory, ...active.map((name) => join(directory, name))]) {
    const stats = await stat(path).catch(ignoreMissing)
    if (stats !== undefined) ages.push(ageOf(staging, stats.mtimeMs))
  }
  return ages.length === 0 ? undefined : Math.min(...ages)
}
