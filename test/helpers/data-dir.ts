/** Makes empty data directories for tests. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** The directories lie in memory when the system offers it, because most tests are not about the disk. */
const parent = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()

/** Makes an empty directory. `remove` deletes it. */
export const makeDataDir = (): { dataDir: string; remove: () => void } => {
  const dataDir = mkdtempSync(join(parent, 'gatherd-test-'))
  return { dataDir, remove: () => rmSync(dataDir, { recursive: true, force: true }) }
}
