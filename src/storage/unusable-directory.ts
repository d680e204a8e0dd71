/** Makes the data directory, and refuses places that cannot be one. */
import { lstatSync, mkdirSync, readdirSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { syncDirectory } from '../system/disk.ts'
import type { DataPaths } from './data-directory.ts'
import { classifyDiskError, refuseDiskError } from './disk-errors.ts'
import { refuseData } from './refusals.ts'

/**
 * Creates the directory (0700) and those above it, durably, if they do not exist. Refuses UnsafeFile if the
 * path names something else, or nothing can be created there; and what {@link refuseDiskError} does.
 */
export const makeDirectory = (path: string): void => {
  const status = lookAt(path)
  if (status === undefined) {
    makeMissing(path)
    syncDirectory(dirname(path))
  } else if (!status.isDirectory()) refuseData('UnsafeFile', path, 'it is not a directory')
}

const lookAt = (path: string): ReturnType<typeof statSync> => {
  try {
    return statSync(path, { throwIfNoEntry: false })
  } catch (error) {
    // Something above it is a file, and naming that one helps more.
    if ((error as NodeJS.ErrnoException).code === 'ENOTDIR') return undefined
    return refuseDiskError(path, error)
  }
}

/** Node's own recursion does not end where a parent exists and takes no directory, as in /proc. */
const makeMissing = (path: string): void => {
  const parent = dirname(path)
  if (parent !== path) makeDirectory(parent)
  try {
    mkdirSync(path, { mode: 0o700 })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST' && lstatSync(path).isSymbolicLink())
      return refuseData('UnsafeFile', path, 'it is a symbolic link to nothing', error)
    if (code === 'EEXIST') return
    if (code === 'ENOENT')
      return refuseData('UnsafeFile', path, `no directory can be created in ${parent}`, error)
    if (classifyDiskError(error) === null) throw error
    return refuseDiskError(path, error)
  }
}

/** What stands in an empty directory of its own accord, such as the root of a volume. */
const HARMLESS = /^(lost\+found|\..*)$/
/** What a first start has left when it was cut off, and what another gatherd keeps there. */
const OWN = /^(lock|snapshots|uploads|reserve|(catalog|os)\.(db|db-wal|db-journal|mark|db\.new.*))$/
const NAMED_COUNT = 3

/** Refuses (NotEmpty) a directory of other files, in which no data directory was ever begun. */
export const refuseForeign = ({ directory }: DataPaths): void => {
  const names = readdirSync(directory)
  if (names.some((name) => name === 'catalog.db' || name === 'os.db')) return
  const foreign = names.filter((name) => !HARMLESS.test(name) && !OWN.test(name)).sort()
  if (foreign.length === 0) return
  const more = foreign.length > NAMED_COUNT ? ` and ${foreign.length - NAMED_COUNT} more` : ''
  refuseData(
    'NotEmpty',
    directory,
    `it is not a data directory of gatherd, but has other files: ${foreign.slice(0, NAMED_COUNT).join(', ')}${more}`,
  )
}
