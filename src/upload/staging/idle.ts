/** How long staged uploads have been without activity. */
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { ignoreMissing } from './disk.ts'
import { isIncoming, parseCommitName, type Staging } from './layout.ts'

/**
 * Returns the time at which a file counts as last written, in milliseconds since 1970. A clock that is wrong
 * for one start makes nothing old at once: time before the start of the service counts for
 * `uploadAgeBeforeStartMsMax` at most.
 */
export const writtenAt = ({ upMs = () => Infinity, limits }: Staging, mtimeMs: number): number =>
  Math.max(mtimeMs, Date.now() - upMs() - limits.uploadAgeBeforeStartMsMax)

/**
 * Returns the time of the last activity of an open upload; undefined when it does not exist. A part that is
 * being received and a commit that runs are activity.
 */
export const lastActivity = async (staging: Staging, directory: string): Promise<number | undefined> => {
  const names = (await readdir(directory).catch(ignoreMissing)) ?? []
  const active = names.filter((name) => isIncoming(name) || parseCommitName(name) > 0)
  const times: number[] = []
  for (const path of [directory, ...active.map((name) => join(directory, name))]) {
    const stats = await stat(path).catch(ignoreMissing)
    if (stats !== undefined) times.push(writtenAt(staging, stats.mtimeMs))
  }
  return times.length === 0 ? undefined : Math.max(...times)
}
