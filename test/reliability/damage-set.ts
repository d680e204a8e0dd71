/** Makes the data directories that the damage test damages, and changes journal records in them. */
import { cpSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { openStore } from '../../src/storage/open-store.ts'
import { readSyncedWatermark, SyncedWatermark } from '../../src/storage/synced-watermark.ts'
import { askOrFail, createAsk } from './asking.ts'
import { makeFolder } from './folders.ts'
import { launchReady } from './launch.ts'
import type { Oracle } from './oracle.ts'
import { createRandom } from './random.ts'
import { createTables, startWorkload } from './workload.ts'

/** A data directory to damage, and the oracle of its contents. */
export interface DamageSet {
  title: string
  path: string
  oracle: Oracle
  /** The paths of its files, relative to it. */
  files: string[]
  /**
   * The byte of each write-ahead log from which on damage may look like an unfinished commit. This is the
   * known limit of P3.
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
 * Returns the offset of the last frame of the last commit but one. Damage from there on can hide the last
 * commit.
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

/** Fills a directory with updates before and after two snapshots, and kills the process. */
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
    // The pause includes the sync of each second, so that part of mode `os` is known to be on disk.
    await sleep(1_300)
    await update(80)
    ask.close()
    return oracle
  } finally {
    await running.kill()
  }
}

/**
 * Makes two directories of the same contents: one as kill -9 leaves it, with nearly everything in the
 * write-ahead logs, and one with everything moved into the databases.
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

/** Changes of journal records that SQLite accepts. `?1` is a record, `?2` another one. */
export const RECORD_CHANGES: Readonly<Record<string, string>> = {
  'record missing': 'DELETE FROM journal WHERE id = ?1 AND ?2',
  'record doubled':
    'INSERT INTO journal SELECT (SELECT max(id) FROM journal) + 1, record FROM journal WHERE id = ?1 AND ?2',
  'record in the place of another':
    'UPDATE journal SET record = (SELECT record FROM journal WHERE id = ?2) WHERE id = ?1',
  'record empty': "UPDATE journal SET record = x'' WHERE id = ?1 AND ?2",
}

/**
 * Changes two records in the middle of the journal of a copy, which `pick` chooses. Returns false when the
 * journal has too few.
 */
export const changeRecord = (path: string, sql: string, pick: (end: number) => number): boolean => {
  const database = new DatabaseSync(path)
  try {
    const ids = (database.prepare('SELECT id FROM journal ORDER BY id').all() as { id: number }[]).map(
      ({ id }) => id,
    )
    // The last record is excepted, because a journal without it is as it was before that update.
    const middle = ids.slice(0, -1)
    if (middle.length < 2) return false
    const first = pick(middle.length)
    const second = (first + 1 + pick(middle.length - 1)) % middle.length
    database.exec('PRAGMA synchronous = OFF')
    database.prepare(sql).run(middle[first], middle[second])
    return true
  } finally {
    database.close()
    // This has moved the log into the database, which a start takes for a log that is missing.
    const watermark = new SyncedWatermark(path.replace(/db$/, 'mark'))
    watermark.clear()
    watermark.close()
  }
}
