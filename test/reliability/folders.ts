/** Makes folders for the reliability tests. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Makes a new folder, by default on a real disk, because these tests are about disks. */
export const makeFolder = (parent = tmpdir()): { path: string; remove: () => void } => {
  const path = mkdtempSync(join(parent, 'gatherd-reliability-'))
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) }
}
