/** Files of staged uploads, and what errors of the file system mean to a client. */
import { constants } from 'node:fs'
import { type FileHandle, open, readFile, statfs } from 'node:fs/promises'
import { GatherdError, refuse } from '../../core/errors.ts'
import { isDiskFullCode } from '../../system/disk.ts'
import type { Staging } from './layout.ts'

/** Errors of the disk that no request can mend. */
const UNUSABLE = new Set([
  'EACCES',
  'EIO',
  'EMFILE',
  'ENFILE',
  'ENOMEM',
  'ENOTDIR',
  'EPERM',
  'EROFS',
  'ESTALE',
])

/** Returns the code of a system error, or undefined for any other error. */
export const systemCode = (error: unknown): string | undefined => {
  const code = (error as NodeJS.ErrnoException | null)?.code
  return typeof code === 'string' ? code : undefined
}

/** Returns whether an error says that a file or directory does not exist. */
export const isMissing = (error: unknown): boolean => systemCode(error) === 'ENOENT'

/** A handler for `catch` that turns a missing file into undefined and throws other errors again. */
export const ignoreMissing = (error: unknown): undefined => {
  if (!isMissing(error)) throw error
}

/**
 * Translates an error of the file system into a refusal: DISK_FULL, NOT_READY or UPLOAD_NOT_FOUND. Other
 * errors stay as they are.
 */
export const toUploadError = (error: unknown): unknown => {
  if (error instanceof GatherdError) return error
  const code = systemCode(error)
  if (code === undefined) return error
  if (isDiskFullCode(code))
    return new GatherdError(
      'DISK_FULL',
      'the disk that uploads are staged on is full: free some space, then send the part again',
      { cause: error },
    )
  if (UNUSABLE.has(code))
    return new GatherdError('NOT_READY', `uploads cannot be staged, because the disk reports ${code}`, {
      cause: error,
    })
  // Another request has removed the whole upload meanwhile.
  if (code === 'ENOENT')
    return new GatherdError('UPLOAD_NOT_FOUND', 'the upload has been removed; begin a new one', {
      cause: error,
    })
  return error
}

/** Runs work on the files of an upload and translates its errors by {@link toUploadError}. */
export const workOnDisk = async <Result>(work: () => Promise<Result>): Promise<Result> => {
  try {
    return await work()
  } catch (error) {
    throw toUploadError(error)
  }
}

/**
 * Refuses DISK_FULL when `bytes` more would leave less than `uploadDiskFreeBytesMin` free, because tables
 * need the disk more than uploads do.
 */
export const checkFreeSpace = async ({ directory, limits }: Staging, bytes: number): Promise<void> => {
  const { bavail, bsize } = await statfs(directory)
  const freeBytes = bavail * bsize
  if (freeBytes - bytes >= limits.uploadDiskFreeBytesMin) return
  refuse(
    'DISK_FULL',
    `the disk has ${freeBytes} bytes free, of which uploads must leave ${limits.uploadDiskFreeBytesMin}`,
  )
}

/** Creates a file that only this user may read. It must not exist yet. */
export const createFile = (path: string): Promise<FileHandle> =>
  open(path, constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY | constants.O_NOFOLLOW, 0o600)

/** Writes all of `bytes`, since a nearly full disk accepts a part and refuses the rest. */
export const writeWhole = async (file: FileHandle, bytes: Uint8Array): Promise<void> => {
  for (let at = 0; at < bytes.length; ) at += (await file.write(bytes, at, bytes.length - at)).bytesWritten
}

/** Creates a file with the contents `text`, which is on disk when this resolves. */
export const writeDurably = async (path: string, text: string): Promise<void> => {
  const file = await createFile(path)
  try {
    await writeWhole(file, Buffer.from(text))
    await file.sync()
  } finally {
    await file.close()
  }
}

/** Reads one of our JSON files. Returns undefined when there is none, or when a crash left half of it. */
export const readJson = async (path: string): Promise<unknown> => {
  const text = await readFile(path, 'utf8').catch(ignoreMissing)
  try {
    return text === undefined ? undefined : JSON.parse(text)
  } catch {
    return undefined
  }
}
