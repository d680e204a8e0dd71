/** Lets `gatherd verify` check a data directory on a file system that is mounted read-only. */
import { copyFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { type DataPaths, dataPaths } from '../storage/data-directory.ts'
import { refuseDiskError } from '../storage/disk-errors.ts'
import { StoredDataRefusal } from '../storage/refusals.ts'

/** The parts of a data directory that opening it changes; snapshots are read where they are. */
const listDatabases = ({ catalog, catalogMark, os, osMark }: DataPaths): string[] => [
  catalog,
  `${catalog}-wal`,
  catalogMark,
  os,
  `${os}-wal`,
  osMark,
]

/**
 * Runs `check` on a copy of the databases of `directory`, which is removed afterwards. Refusals name the
 * files of `directory`, and DiskFull the folder for temporary files when it has no room.
 */
export const checkCopy = async <Result>(
  directory: string,
  check: (copy: string, snapshots: string) => Promise<Result>,
): Promise<Result> => {
  const paths = dataPaths(directory)
  const copy = mkdtempSync(join(tmpdir(), 'gatherd-verify-'))
  try {
    for (const path of listDatabases(paths)) if (existsSync(path)) copyInto(copy, path)
    return await check(copy, paths.snapshots)
  } catch (error) {
    if (!(error instanceof StoredDataRefusal)) throw error
    const name = (text: string): string => text.replaceAll(copy, paths.directory)
    throw new StoredDataRefusal(error.code, name(error.file), name(error.detail), error)
  } finally {
    rmSync(copy, { recursive: true, force: true })
  }
}

const copyInto = (copy: string, path: string): void => {
  try {
    copyFileSync(path, join(copy, basename(path)))
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    refuseDiskError(code === 'ENOSPC' ? tmpdir() : path, error)
  }
}
