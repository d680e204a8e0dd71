/**
 * Files that are damaged, or that recovery goes back before, are never removed: they get another name, which
 * nothing lists and no sweep removes, so that people can look at them or give them to a tool.
 */
import { existsSync, renameSync } from 'node:fs'
import { dirname } from 'node:path'
import { syncDirectory } from '../system/disk.ts'

/** The first free name for a damaged file: `FILE.damaged`, or with a number behind it. */
export const nameDamaged = (path: string): string => {
  let name = `${path}.damaged`
  for (let n = 2; existsSync(name); n++) name = `${path}.damaged-${n}`
  return name
}

/** Renames a damaged file, durably, and returns its new name; null if there is none. */
export const setAside = (path: string): string | null => {
  const name = nameDamaged(path)
  try {
    renameSync(path, name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
  syncDirectory(dirname(path))
  return name
}
