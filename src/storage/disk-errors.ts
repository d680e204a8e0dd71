/** What an error of the operating system or of SQLite says about the disk, and how a start refuses it. */
import { isDiskFullCode } from '../system/disk.ts'
import { type RefusalCode, refuseData, StoredDataRefusal } from './refusals.ts'

/**
 * `full`: there is no space. `read-only`: the file system takes no writes. `not-opened`: a file could not be
 * opened, so that nothing was read or written. `io`: a read or a write has failed.
 */
export type DiskFault = 'full' | 'read-only' | 'not-opened' | 'io'

/** SQLite's primary result codes, which are the low byte of `errcode`. */
const SQLITE_FAULTS: Readonly<Record<number, DiskFault>> = {
  7: 'not-opened', // SQLITE_NOMEM: it ends a statement before it is written
  8: 'read-only',
  10: 'io',
  13: 'full',
  14: 'not-opened',
}

/** Codes of a process or a user that lacks something: they say nothing about the disk. */
const NOT_OPENED_CODES: ReadonlySet<string> = new Set([
  'EACCES',
  'EMFILE',
  'ENFILE',
  'ENOENT',
  'ENOMEM',
  'ENOTDIR',
  'EPERM',
])

/** Calls that begin only once a file is open, so that their errors are about what it holds. */
const IO_CALLS = /^(read|write|pwrite|fsync|fdatasync|ftruncate)/

/** Codes of reads and writes that a disk, or a volume behind a network, has failed. */
const IO_CODES: ReadonlySet<string> = new Set([
  'EBADMSG',
  'EIO',
  'ENODATA',
  'ENODEV',
  'ENOTCONN',
  'ENXIO',
  'EREMOTEIO',
  'ESTALE',
  'ETIMEDOUT',
  'EUCLEAN',
])

/** Tells what an error says about the disk; null for an error that is not about it. */
export const classifyDiskError = (error: unknown): DiskFault | null => {
  const { code, errcode, syscall } = (error ?? {}) as { code?: string; errcode?: number; syscall?: string }
  if (errcode !== undefined) return SQLITE_FAULTS[errcode & 0xff] ?? null
  if (code === undefined || (syscall === undefined && !isDiskFullCode(code))) return null
  if (isDiskFullCode(code)) return 'full'
  const isOfOpenFile = syscall !== undefined && IO_CALLS.test(syscall)
  if (code === 'EROFS') return isOfOpenFile ? 'io' : 'read-only'
  if (NOT_OPENED_CODES.has(code)) return isOfOpenFile ? 'io' : 'not-opened'
  return IO_CODES.has(code) ? 'io' : null
}

/** Names an error for people by the code that the system or SQLite gave it. */
export const nameDiskError = (error: unknown): string => {
  const { code, errcode, errstr, message } = error as {
    code?: string
    errcode?: number
    errstr?: string
    message?: string
  }
  if (errcode !== undefined) return `${errstr ?? 'SQLite'}, SQLite ${errcode}`
  return code ?? message ?? String(error)
}

const REFUSED_AS: Readonly<Record<DiskFault, { code: RefusalCode; detail: string }>> = {
  full: { code: 'DiskFull', detail: 'the disk is full' },
  'read-only': { code: 'ReadOnly', detail: 'the file system is mounted read-only' },
  'not-opened': { code: 'NotOpened', detail: 'it cannot be opened' },
  io: { code: 'Unreadable', detail: 'the disk reports an error' },
}

/**
 * Refuses a start for what the disk reported about `path`: DiskFull, ReadOnly, NotOpened or Unreadable. Other
 * errors are thrown unchanged.
 */
export const refuseDiskError = (path: string, error: unknown): never => {
  if (error instanceof StoredDataRefusal) throw error
  const fault = classifyDiskError(error)
  if (fault === null) throw error
  const { code, detail } = REFUSED_AS[fault]
  return refuseData(code, path, `${detail} (${nameDiskError(error)})`, error)
}
