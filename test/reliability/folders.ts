import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A new folder, and what removes it. On a real disk by default: this is about disks. */
export const makeFolder = (parent = tmpdir()): { path: string; remove: () => void } => {
  const path = mkdtempSync(join(parent, 'gatherd-reliability-'))
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) }
}
