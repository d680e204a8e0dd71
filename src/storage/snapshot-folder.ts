import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { failpoint } from './failpoints.ts'

/**
 * Removes what no catalog lists from the folder of snapshots: files that a crash left half written, or written and not yet
 * listed, or no longer. Only for a catalog that was read whole. Returns the names removed.
 */
export const sweepSnapshots = async (directory: string, listed: ReadonlySet<string>): Promise<string[]> => {
  const removed = (await readdir(directory)).filter(
    (name) => !listed.has(name) && /\.(tmp|safetensors)$/.test(name),
  )
  for (const name of removed) {
    await rm(join(directory, name), { force: true })
    failpoint('sweep:removed')
  }
  return removed
}
