import { closeSync, constants, openSync } from 'node:fs'
import { join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { type OpenSqlite, plainFileExists, SQLITE_BUSY } from './database-file.ts'
import { refuseData } from './refusals.ts'

/**
 * Holds a data directory for this process, until released or dead. Taken before anything in it is read: a log that another
 * process is writing looks damaged. Node has no file locks, SQLite has: an empty database, locked and never written.
 * Refuses InUse. Other code of the process must leave the file alone, closing it elsewhere would drop the lock.
 */
export const lockDirectory = (dataDir: string, open: OpenSqlite): { release(): void } => {
  const path = join(dataDir, 'lock')
  if (!plainFileExists(path))
    closeSync(openSync(path, constants.O_CREAT | constants.O_WRONLY | constants.O_NOFOLLOW, 0o600))
  let database: DatabaseSync | null = null
  try {
    database = open(path)
    // Else it would make a journal file beside it.
    database.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE')
  } catch (error) {
    database?.close()
    const { errcode, message } = error as { errcode?: number; message: string }
    if (errcode === SQLITE_BUSY) return refuseData('InUse', dataDir, 'it is in use by another gatherd', error)
    return refuseData('UnsafeFile', path, `it cannot be locked (${message})`, error)
  }
  const held = database
  return { release: () => held.close() }
}
