import { describe, expect, test } from 'vitest'
import { classifyDiskError, refuseDiskError } from '../../src/storage/disk-errors.ts'
import { ErrorLatch } from '../../src/storage/error-latch.ts'
import { errorOf, refusalOf } from './samples.ts'

const systemError = (code: string, syscall: string) => Object.assign(new Error(code), { code, syscall })
const sqliteError = (errcode: number) =>
  Object.assign(new Error('SQLite'), { code: 'ERR_SQLITE_ERROR', errcode })

const FAULTS = [
  ['ENOSPC of a write', systemError('ENOSPC', 'write'), 'full', 'DiskFull', 'DISK_FULL'],
  ['EDQUOT of an open', systemError('EDQUOT', 'open'), 'full', 'DiskFull', 'DISK_FULL'],
  ['SQLITE_FULL', sqliteError(13), 'full', 'DiskFull', 'DISK_FULL'],
  ['EROFS of an open', systemError('EROFS', 'open'), 'read-only', 'ReadOnly', 'NOT_READY'],
  ['SQLITE_READONLY_ROLLBACK', sqliteError(776), 'read-only', 'ReadOnly', 'NOT_READY'],
  ['EMFILE of an open', systemError('EMFILE', 'open'), 'not-opened', 'NotOpened', 'NOT_READY'],
  ['ENFILE of an open', systemError('ENFILE', 'open'), 'not-opened', 'NotOpened', 'NOT_READY'],
  ['ENOMEM of an open', systemError('ENOMEM', 'open'), 'not-opened', 'NotOpened', 'NOT_READY'],
  ['EACCES of an open', systemError('EACCES', 'open'), 'not-opened', 'NotOpened', 'NOT_READY'],
  ['ENOENT of an open', systemError('ENOENT', 'open'), 'not-opened', 'NotOpened', 'NOT_READY'],
  ['SQLITE_CANTOPEN', sqliteError(14), 'not-opened', 'NotOpened', 'NOT_READY'],
  ['SQLITE_NOMEM', sqliteError(7), 'not-opened', 'NotOpened', 'NOT_READY'],
  ['EIO of a read', systemError('EIO', 'read'), 'io', 'Unreadable', 'latched'],
  ['EIO of an open', systemError('EIO', 'open'), 'io', 'Unreadable', 'latched'],
  ['ENOMEM of a write', systemError('ENOMEM', 'write'), 'io', 'Unreadable', 'latched'],
  ['ESTALE of a sync', systemError('ESTALE', 'fsync'), 'io', 'Unreadable', 'latched'],
  ['SQLITE_IOERR_READ', sqliteError(266), 'io', 'Unreadable', 'latched'],
  ['SQLITE_CORRUPT', sqliteError(11), null, null, 'latched'],
  ['another error', new Error('a bug'), null, null, 'latched'],
] as const

describe('An error of the disk', () => {
  test.each(FAULTS)('%s is of its class', (_name, error, fault) => {
    expect(classifyDiskError(error)).toBe(fault)
  })

  test.each(FAULTS)('%s refuses a start by its own word', (_name, error, _fault, refusal) => {
    if (refusal === null) expect(errorOf(() => refuseDiskError('data', error))).toBe(error)
    else expect(refusalOf(() => refuseDiskError('data', error))).toBe(refusal)
  })

  test.each(FAULTS)(
    '%s ends updates only if something may have been written',
    (_name, error, _f, _r, ends) => {
      const latch = new ErrorLatch()
      const thrown = latch.classify('a commit', error)
      expect(latch.failure === null).toBe(ends !== 'latched')
      if (ends !== 'latched') expect(thrown).toMatchObject({ code: ends, cause: error })
    },
  )
})
