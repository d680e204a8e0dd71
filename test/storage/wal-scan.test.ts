import {
  closeSync,
  constants,
  ftruncateSync,
  openSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type LogRules, type LogScan, scanLog } from '../../src/storage/wal-scan.ts'
import { makeFolder, refusalOf } from './samples.ts'
import { runsOf } from '../helpers/property-runs.ts'

const PAGE_BYTES = 512
const FRAME_BYTES = 24 + PAGE_BYTES
const FULL: LogRules = { everyCommitSynced: true }

/** Makes a database whose log still holds `commitCount` commits, as after a crash. */
const makeCrashed = (commitCount: number, run: (database: DatabaseSync) => void = () => {}) => {
  const folder = makeFolder()
  const path = join(folder, 'live.db')
  const database = new DatabaseSync(path)
  database.exec(`PRAGMA page_size = ${PAGE_BYTES}; PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;
    CREATE TABLE commits (number INTEGER PRIMARY KEY, payload BLOB NOT NULL) STRICT; PRAGMA wal_checkpoint(TRUNCATE);`)
  const insert = database.prepare('INSERT INTO commits VALUES (?, ?)')
  const commit = (number: number) => insert.run(number, new Uint8Array(100 + (number % 3) * 700).fill(number))
  run(database)
  for (let number = 1; number <= commitCount; number++) commit(number)
  const files = { database: readFileSync(path), log: readFileSync(`${path}-wal`) }
  database.close()
  return { ...files, folder }
}

interface Crashed {
  database: Buffer
  log: Buffer
  folder: string
}

/**
 * Opens a database with such a log in SQLite, and returns the number of commits that SQLite shows. Each of
 * them must be right.
 */
const readBySqlite = (crashed: Crashed, log: Buffer): number => {
  const path = join(crashed.folder, 'copy.db')
  writeFileSync(path, crashed.database)
  writeFileSync(`${path}-wal`, log)
  const database = new DatabaseSync(path)
  try {
    const rows = database.prepare('SELECT number, payload FROM commits ORDER BY number').all() as {
      number: number
      payload: Uint8Array
    }[]
    rows.forEach(({ number, payload }, i) => {
      expect(number).toBe(i + 1)
      expect(payload.every((byte) => byte === number)).toBe(true)
    })
    expect(database.prepare('PRAGMA integrity_check').get()).toEqual({ integrity_check: 'ok' })
    return rows.length
  } finally {
    database.close()
    for (const suffix of ['', '-wal', '-shm']) rmSync(path + suffix, { force: true })
  }
}

const scan = (crashed: Crashed, log: Buffer, rules: LogRules = FULL): LogScan | 'refused' => {
  const path = join(crashed.folder, 'scanned-wal')
  overwrite(path, log)
  let found: LogScan | null = null
  const refusal = refusalOf(() => {
    found = scanLog(path, rules)
  })
  expect(refusal === null || refusal === 'DamagedLog').toBe(true)
  return found ?? 'refused'
}

/** Overwrites a file in place, because truncating and writing it again waits for the disk. */
const overwrite = (path: string, bytes: Buffer): void => {
  const file = openSync(path, constants.O_CREAT | constants.O_RDWR)
  writeSync(file, bytes, 0, bytes.length, 0)
  ftruncateSync(file, bytes.length)
  closeSync(file)
}

const flip = (log: Buffer, bit: number): Buffer => {
  const copy = Buffer.from(log)
  copy[bit >> 3] ^= 1 << (bit & 7)
  return copy
}

/** Finds the last frame of each commit by the headers of the frames. */
const commitFrames = (log: Buffer): number[] =>
  Array.from({ length: (log.length - 32) / FRAME_BYTES }, (_, i) => i).filter(
    (i) => log.readUInt32BE(32 + i * FRAME_BYTES + 4) !== 0,
  )

describe('The scan of a write-ahead log', () => {
  test('accepts a log that is missing, empty, or whole', () => {
    const crashed = makeCrashed(12)
    expect(scanLog(join(crashed.folder, 'none-wal'), FULL)).toMatchObject({ commitCount: 0, frameCount: 0 })
    expect(scan(crashed, Buffer.alloc(0))).toMatchObject({ commitCount: 0 })
    const frameCount = (crashed.log.length - 32) / FRAME_BYTES
    expect(scan(crashed, crashed.log)).toMatchObject({
      commitCount: 12,
      frameCount,
      droppedFrameCount: 0,
      lostCommitCount: 0,
    })
    expect(readBySqlite(crashed, crashed.log)).toBe(12)
  })

  test('finds as many commits as SQLite will show when the log is cut at any byte', () => {
    const crashed = makeCrashed(6)
    const commits = commitFrames(crashed.log)
    for (let length = 0; length < crashed.log.length; length++) {
      const found = scan(crashed, crashed.log.subarray(0, length))
      const whole = commits.filter((frame) => 32 + (frame + 1) * FRAME_BYTES <= length).length
      expect(found).toMatchObject({ commitCount: whole })
      if (length % 211 === 0) expect(readBySqlite(crashed, crashed.log.subarray(0, length))).toBe(whole)
    }
  })

  test('refuses a flipped bit exactly where SQLite would lose more than the last commit', () => {
    const crashed = makeCrashed(10)
    let refused = 0
    let lastOnly = 0
    for (let at = 0; at < crashed.log.length; at++) {
      const log = flip(crashed.log, at * 8 + (at % 8))
      const found = scan(crashed, log)
      if (found === 'refused') refused++
      // The known limit is that SQLite ends one commit early without an error. A bit that nothing depends on
      // changes nothing.
      else expect(found.commitCount).toBeGreaterThanOrEqual(9)
      if (found !== 'refused' && found.commitCount === 9) lastOnly++
      if (found !== 'refused' && at % 97 === 0) expect(readBySqlite(crashed, log)).toBe(found.commitCount)
    }
    const lastCommitBytes = crashed.log.length - 32 - (commitFrames(crashed.log)[8] + 1) * FRAME_BYTES
    expect(lastOnly).toBeLessThanOrEqual(lastCommitBytes)
    expect(refused + lastOnly).toBe(crashed.log.length)
  })

  test('refuses a zeroed sector likewise, except at the header of the last frame of the last commit but one', () => {
    const crashed = makeCrashed(10)
    const lastButOne = 32 + commitFrames(crashed.log)[8] * FRAME_BYTES
    let refused = 0
    for (let at = 0; at < crashed.log.length; at += 100) {
      const found = scan(
        crashed,
        Buffer.from(crashed.log).fill(0, at, Math.min(at + 512, crashed.log.length)),
      )
      if (found === 'refused') refused++
      else
        expect(found.commitCount).toBeGreaterThanOrEqual(
          at < lastButOne + 24 && at + 512 > lastButOne ? 8 : 9,
        )
    }
    expect(refused).toBeGreaterThan((crashed.log.length / 100) * 0.7)
  })

  test('is needed, because SQLite alone shows half the commits after one flipped bit without an error', () => {
    const crashed = makeCrashed(10)
    const middle = commitFrames(crashed.log)[4]
    const log = flip(crashed.log, (32 + middle * FRAME_BYTES + 200) * 8)
    expect(readBySqlite(crashed, log)).toBe(4)
    expect(scan(crashed, log)).toBe('refused')
  })

  test('refuses zeroed sectors in the middle, and a bad header that frames follow', () => {
    const crashed = makeCrashed(10)
    const middle = commitFrames(crashed.log)[4]
    for (const at of [0, 32 + middle * FRAME_BYTES]) {
      expect(scan(crashed, Buffer.from(crashed.log).fill(0, at, at + 512))).toBe('refused')
    }
    expect(scan(crashed, Buffer.from(crashed.log).fill(0, 0, 32).subarray(0, 32))).toMatchObject({
      commitCount: 0,
    })
  })

  test('treats any mixture of written and unwritten pages in the last commit as an unfinished commit', () => {
    const crashed = makeCrashed(5)
    const commits = commitFrames(crashed.log)
    const first = commits[3] + 1
    const count = commits[4] - commits[3]
    expect(count).toBeGreaterThan(1)
    for (let written = 0; written < 2 ** count - 1; written++) {
      const log = Buffer.from(crashed.log)
      for (let i = 0; i < count; i++)
        if ((written & (1 << i)) === 0)
          log.fill(0, 32 + (first + i) * FRAME_BYTES, 32 + (first + i + 1) * FRAME_BYTES)
      expect(scan(crashed, log)).toMatchObject({ commitCount: 4, lostCommitCount: 0 })
    }
  })

  test('ignores frames of earlier logs, and still refuses damage before the end', () => {
    const crashed = makeCrashed(4, (database) => {
      database.exec('CREATE TABLE earlier (payload BLOB)')
      for (let i = 0; i < 30; i++) database.prepare('INSERT INTO earlier VALUES (zeroblob(300))').run()
      database.exec('PRAGMA wal_checkpoint(RESTART)')
    })
    const found = scan(crashed, crashed.log)
    expect(found).toMatchObject({ commitCount: 4, droppedFrameCount: 0 })
    expect((crashed.log.length - 32) / FRAME_BYTES).toBeGreaterThan((found as LogScan).frameCount)
    expect(readBySqlite(crashed, crashed.log)).toBe(4)
    expect(scan(crashed, flip(crashed.log, (32 + 100) * 8))).toBe('refused')
  })

  test('ignores frames of a transaction that was rolled back', () => {
    const crashed = makeCrashed(3, (database) => {
      database.exec('PRAGMA cache_size = 5; BEGIN; CREATE TABLE gone (payload BLOB)')
      for (let i = 0; i < 60; i++) database.prepare('INSERT INTO gone VALUES (zeroblob(400))').run()
      database.exec('ROLLBACK')
    })
    const found = scan(crashed, crashed.log)
    expect(found).toMatchObject({ commitCount: 3, lostCommitCount: 0 })
    expect((found as LogScan).droppedFrameCount).toBeGreaterThan(10)
  })

  test('ends before the damage when it may lose commits, and counts them', () => {
    const crashed = makeCrashed(10)
    const middle = commitFrames(crashed.log)[4]
    const log = flip(crashed.log, (32 + middle * FRAME_BYTES + 200) * 8)
    const found = scan(crashed, log, { ...FULL, allowLostCommits: true }) as LogScan
    expect(found.commitCount).toBe(4)
    expect(found.lostCommitCount).toBeGreaterThanOrEqual(5)
    expect(readBySqlite(crashed, log)).toBe(4)
    expect(
      scan(crashed, Buffer.from(crashed.log).fill(0, 0, 32), { ...FULL, allowLostCommits: true }),
    ).toMatchObject({
      lostCommitCount: 1,
    })
  })

  test('throws nothing but refusals, whatever the bytes', () => {
    const crashed = makeCrashed(3)
    const change = fc.record({
      at: fc.nat(crashed.log.length - 1),
      bytes: fc.uint8Array({ minLength: 1, maxLength: 40 }),
    })
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
        const log = Buffer.from(crashed.log)
        for (const { at, bytes } of changes) log.set(bytes.subarray(0, log.length - at), at)
        scan(crashed, log)
      }),
      { numRuns: runsOf({ quick: 30, long: 300 }) },
    )
  })
})

describe('The scan of a log whose commits are synced later', () => {
  const marked = (crashed: Crashed, frameCount: number): LogRules => ({
    everyCommitSynced: false,
    synced: {
      salts: [crashed.log.readUInt32BE(16), crashed.log.readUInt32BE(20)],
      frameCount,
      isCleared: false,
    },
  })

  test('treats a bad frame as the end of the log, and counts the commits after it', () => {
    const crashed = makeCrashed(10)
    const middle = commitFrames(crashed.log)[4]
    const log = flip(crashed.log, (32 + middle * FRAME_BYTES + 200) * 8)
    expect(scan(crashed, log, { everyCommitSynced: false })).toMatchObject({
      commitCount: 4,
      lostCommitCount: 6,
    })
  })

  test('refuses a bad frame within the synced part', () => {
    const crashed = makeCrashed(10)
    const middle = commitFrames(crashed.log)[4]
    const log = flip(crashed.log, (32 + middle * FRAME_BYTES + 200) * 8)
    expect(scan(crashed, log, marked(crashed, middle + 1))).toBe('refused')
    expect(scan(crashed, log, marked(crashed, middle))).toMatchObject({ commitCount: 4 })
    expect(
      scan(crashed, log, {
        everyCommitSynced: false,
        synced: { salts: [1, 2], frameCount: 1000, isCleared: false },
      }),
    ).toMatchObject({ commitCount: 4 })
  })

  test('refuses a log that is shorter than its synced part, unless it may lose commits', () => {
    const crashed = makeCrashed(10)
    const middle = commitFrames(crashed.log)[4]
    const log = crashed.log.subarray(0, 32 + (middle + 1) * FRAME_BYTES)
    expect(scan(crashed, log, marked(crashed, middle + 2))).toBe('refused')
    expect(scan(crashed, log, { ...marked(crashed, middle + 2), allowLostCommits: true })).toMatchObject({
      commitCount: 5,
      lostCommitCount: 1,
    })
    expect(scan(crashed, log, marked(crashed, middle + 1))).toMatchObject({
      commitCount: 5,
      lostCommitCount: 0,
    })
  })
})

test('A log that is a symbolic link is refused', () => {
  const { folder, log } = makeCrashed(1)
  writeFileSync(join(folder, 'real'), log)
  symlinkSync(join(folder, 'real'), join(folder, 'link'))
  expect(refusalOf(() => scanLog(join(folder, 'link'), FULL))).toBe('UnsafeFile')
})
