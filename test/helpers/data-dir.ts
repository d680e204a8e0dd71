import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** In memory where the system offers it: most tests are not about the disk. */
const parent = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()

/** An empty directory, and what removes it. */
export const makeDataDir = (): { dataDir: string; remove: () => void } => {
  const dataDir = mkdtempSync(join(parent, 'gatherd-test-'))
  return { dataDir, remove: () => rmSync(dataDir, { recursive: true, force: true }) }
}
