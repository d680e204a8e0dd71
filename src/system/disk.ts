/**
 * The parts of writing to a disk that Node leaves to the system: names that must last, and errors that say it
 * is full.
 */
import { closeSync, constants, fsyncSync, openSync } from 'node:fs'
import { open } from 'node:fs/promises'

/** No space left, or none for this user. */
const FULL_CODES: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT'])

/** Whether a system error's code says that the disk is full. */
export const isDiskFullCode = (code: string | undefined): boolean =>
  code !== undefined && FULL_CODES.has(code)

/** Windows cannot open a directory, so names in one cannot be made durable there. */
const CAN_SYNC_DIRECTORIES = process.platform !== 'win32'
const DIRECTORY_FLAGS = constants.O_RDONLY | constants.O_DIRECTORY

/** Makes renames, new names and removals in a directory durable, before it returns. */
export const syncDirectory = (path: string): void => {
  if (!CAN_SYNC_DIRECTORIES) return
  const descriptor = openSync(path, DIRECTORY_FLAGS)
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

/** The same without blocking the thread. */
export const syncDirectoryAsync = async (path: string): Promise<void> => {
  if (!CAN_SYNC_DIRECTORIES) return
  const handle = await open(path, DIRECTORY_FLAGS)
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
