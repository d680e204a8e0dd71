import { cpSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { openStore } from '../../src/storage/open-store.ts'
import { readSyncedWatermark } from '../../src/storage/synced-watermark.ts'
import { askOrFail, createAsk } from './asking.ts'
import { makeFolder } from './folders.ts'
import { launchReady } from './launch.ts'
import type { Oracle } from './oracle.ts'
import { createRandom } from './random.ts'
import { createTables, startWorkload } from './workload.ts'

/** A data directory to be damaged, and what is in it. */
export interface DamageSet {
  title: string
  path: string
  oracle: Oracle
  /** Names of its files, relative. */
  files: string[]
  /**
   * From which byte on damage of a write-ahead log may look like a commit that was never
   * finished: P3's known limits.
   */
  limits: Record<string, number>
}

const TABLES = [
  { name: 'on-disk', durability: 'disk' },
  { name: 'in-os', durability: 'os' },
] as const

const FRAME_BYTES = 4096 + 24
const HEADER_BYTES = 32

/**
 * Where the last frame of the last but one commit begins: damage from there on can hide what
 * the last commit was.
 */
const findLastCommits = (log: Buffer): number => {
  const ends: number[] = []
  const salts = log.length < HEADER_BYTES ? null : log.subarray(16, 24)
  for (
    let at = HEADER_BYTES;
    salts !== null && at + FRAME_BYTES <= log.length && log.subarray(at + 8, at + 16).equals(salts);
    at += FRAME_BYTES
  ) {
    if (log.readUInt32BE(at + 4) !== 0) ends.push(at)
  }
  return ends.at(-2) ?? 0
}

const readLog = (path: string): Buffer => {
  try {
    return readFileSync(path)
  } catch {
    return Buffer.alloc(0)
  }
}

const describe = (title: string, path: string, oracle: Oracle): DamageSet => {
  const mark = readSyncedWatermark(join(path, 'os.mark'))
  const osLog = readLog(join(path, 'os.db-wal'))
  const isOfLog =
    mark !== null &&
    osLog.length >= HEADER_BYTES &&
    osLog.readUInt32BE(16) === mark.salts[0] &&
    osLog.readUInt32BE(20) === mark.salts[1]
  return {
    title,
    path,
    oracle,
    files: readdirSync(path, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name !== 'lock')
      .map((entry) => join(entry.parentPath, entry.name).slice(path.length + 1))
      .sort(),
    limits: {
      'catalog.db-wal': findLastCommits(readLog(join(path, 'catalog.db-wal'))),
      'os.db-wal': isOfLog ? HEADER_BYTES + mark.frameCount * FRAME_BYTES : 0,
    },
  }
}

/** Updates, a snapshot in between, a replacement, updates; kill -9. */
const fillDirectory = async (dataDir: string, seed: number): Promise<Oracle> => {
  const running = await launchReady({ dataDir })
  try {
    const ask = createAsk(running.url)
    const oracle = await createTables(ask, TABLES)
    const random = createRandom(seed)
    const update = async (ms: number) => {
      const workload = startWorkload({ ask, oracle, random, updatesOnly: true })
      await sleep(ms)
      await workload.stop()
    }
    await update(80)
    await askOrFail(ask, 'POST', '/v1/snapshots')
    await update(80)
    await askOrFail(ask, 'POST', '/v1/snapshots')
    // Past the sync of the second, so that some of `os` is known to be on disk.
    await sleep(1_300)
    await update(80)
    ask.close()
    return oracle
  } finally {
    await running.kill()
  }
}

/**
 * The same contents twice: as kill -9 leaves them, nearly all in the write-ahead logs; and
 * moved into the databases.
 */
export const makeDamageSets = async (seed: number): Promise<{ sets: DamageSet[]; remove: () => void }> => {
  const folder = makeFolder()
  const killed = join(folder.path, 'killed')
  const oracle = await fillDirectory(killed, seed)
  const moved = join(folder.path, 'moved')
  cpSync(killed, moved, { recursive: true })
  openStore(moved).store.close()
  return {
    sets: [describe('killed', killed, oracle), describe('moved', moved, oracle)],
    remove: folder.remove,
  }
}

/** Changes of journal records that SQLite finds nothing wrong with. `?1` is a record, `?2` another one. */
export const RECORD_CHANGES: Readonly<Record<string, string>> = {
  'record missing': 'DELETE FROM journal WHERE id = ?1 AND ?2',
  'record doubled':
    'INSERT INTO journal SELECT (SELECT max(id) FROM journal) + 1, record FROM journal WHERE id = ?1 AND ?2',
  'record in the place of another':
    'UPDATE journal SET record = (SELECT record FROM journal WHERE id = ?2) WHERE id = ?1',
  'record empty': "UPDATE journal SET record = x'' WHERE id = ?1 AND ?2",
}

/**
 * Makes such a change in a copy, at two records in the middle of the journal that `pick` chooses. False: it
 * has too few.
 */
export const changeRecord = (path: string, sql: string, pick: (end: number) => number): boolean => {
  const database = new DatabaseSync(path)
  try {
    const ids = (database.prepare('SELECT id FROM journal ORDER BY id').all() as { id: number }[]).map(
      ({ id }) => id,
    )
    // Without the last one a journal is as it was before it: nothing can tell.
    const middle = ids.slice(0, -1)
    if (middle.length < 2) return false
    const first = pick(middle.length)
    const second = (first + 1 + pick(middle.length - 1)) % middle.length
    database.exec('PRAGMA synchronous = OFF')
    database.prepare(sql).run(middle[first], middle[second])
    return true
  } finally {
    database.close()
  }
}
