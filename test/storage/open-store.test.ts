import { cpSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, test } from 'vitest'
import { openStore } from '../../src/storage/open-store.ts'
import type { StoredDataRefusal } from '../../src/storage/refusals.ts'
import * as samples from './samples.ts'

const { errorOf, forgetSynced, makeFolder, openSample, readSequences, sampleRecord } = samples
const LAST = 5
const FULL = 13

/** Makes a directory as kill -9 leaves it, with everything in the logs. */
const makeCrashed = (): string => {
  const live = makeFolder()
  const store = openSample(live)
  store.commit({ changes: samples.sampleChanges() })
  for (let sequence = 1; sequence <= LAST; sequence++) store.commit({ records: [sampleRecord(sequence)] })
  const directory = makeFolder()
  cpSync(live, directory, { recursive: true })
  return directory
}

/** Opens files with SQLite, but the first `count` times fails with `errcode` for `name`. */
const failOpens = (name: string, errcode: number, count: number) => (path: string) => {
  if (path.endsWith(name) && count-- > 0)
    throw Object.assign(new Error('SQLite'), { code: 'ERR_SQLITE_ERROR', errcode, errstr: 'an error' })
  return new DatabaseSync(path, { timeout: 0 })
}

describe('A start on a full disk', () => {
  test('opens everything, says so, and leaves a log that the next start reads', () => {
    const directory = makeCrashed()
    const sqlite = new samples.FaultySqlite()
    sqlite.fault = { sql: 'PRAGMA wal_checkpoint(RESTART)', errcode: FULL }
    const { store, report } = openStore(directory, { open: sqlite.open })
    expect([report.isDiskFull, readSequences(store), store.failure]).toEqual([true, [1, 2, 3, 4, 5], null])
    expect(store.logBytes()).toBeGreaterThan(0)
    // Commits go on behind the log as soon as there is space for them.
    store.commit({ records: [sampleRecord(LAST + 1)] })
    store.close()
    const again = openStore(directory)
    expect([again.report.isDiskFull, readSequences(again.store).at(-1)]).toEqual([false, LAST + 1])
    again.store.close()
  })

  test('cuts what an unfinished commit has left, which needs no space', () => {
    const directory = makeCrashed()
    const path = join(directory, 'catalog.db-wal')
    const bytes = readFileSync(path)
    forgetSynced(directory)
    writeFileSync(path, bytes.subarray(0, -100))
    const sqlite = new samples.FaultySqlite()
    sqlite.fault = { sql: 'PRAGMA wal_checkpoint(RESTART)', errcode: FULL }
    const { store, report } = openStore(directory, { open: sqlite.open })
    expect(report.catalogLog.droppedFrameCount).toBeGreaterThan(0)
    expect(statSync(path).size).toBe(report.catalogLog.wholeBytes)
    expect(readSequences(store)).toEqual([1, 2, 3, 4])
    store.commit({ records: [sampleRecord(LAST)] })
    store.close()
    expect(readSequences(openSample(directory))).toEqual([1, 2, 3, 4, 5])
  })

  test('is refused with the directory and a remedy when it must write', () => {
    const directory = makeFolder()
    const { message, exitCode } = errorOf(() =>
      openStore(directory, { open: failOpens('catalog.db.new', FULL, 1) }),
    ) as StoredDataRefusal
    expect(message).toContain(directory)
    expect([message, exitCode]).toEqual([expect.stringMatching(/the disk is full.*; free some space/), 1])
  })
})

describe('A start whose disk fails a read', () => {
  test.each(['catalog.db', 'os.db'])('tries again, and opens %s with everything in it', (name) => {
    const { store } = openStore(makeCrashed(), { open: failOpens(name, 266, 2) })
    expect(readSequences(store)).toEqual([1, 2, 3, 4, 5])
    store.close()
  })

  test.each([
    [266, 'Unreadable', /the disk reports an error .*266.*; nothing was changed: .* mend the disk/],
    [8, 'ReadOnly', /the file system is mounted read-only.*gatherd verify/],
    [14, 'NotOpened', /it cannot be opened .*; give this user access/],
    [11, 'DamagedCatalog', /SQLite cannot read it/],
  ])('refuses SQLite error %i by its own word %s, and changes nothing', (errcode, code, message) => {
    for (const goBackBeforeDamage of [false, true]) {
      const directory = makeCrashed()
      const before = readFileSync(join(directory, 'catalog.db-wal'))
      const open = failOpens('catalog.db', errcode, Infinity)
      expect(errorOf(() => openStore(directory, { open, goBackBeforeDamage }))).toMatchObject({
        code,
        message: expect.stringMatching(message),
        exitCode: code === 'DamagedCatalog' ? 3 : 1,
      })
      expect(readFileSync(join(directory, 'catalog.db-wal'))).toEqual(before)
      expect(readSequences(openSample(directory))).toEqual([1, 2, 3, 4, 5])
    }
  })
})
