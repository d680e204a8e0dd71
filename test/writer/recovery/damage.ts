/** Damages the files of a data directory, and reports how a start on it is refused. */
import { readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { CatalogSnapshot } from '../../../src/storage/catalog-rows.ts'
import { forgetSynced } from '../../storage/samples.ts'
import { type OpenWriter, openWriter } from '../restart.ts'

/** The ways in which a snapshot file is damaged. */
export type Damage = 'flipped' | 'cut' | 'missing'

/** Damages a file: flips a bit of its first number, cuts its end, or removes it. */
export const damageFile = (dataDir: string, file: string, damage: Damage): void => {
  const path = join(dataDir, 'snapshots', file)
  if (damage === 'missing') return rmSync(path)
  const bytes = readFileSync(path)
  if (damage === 'cut') return truncateSync(path, bytes.length - 3)
  // The numbers follow the header, whose length is in the first eight bytes.
  bytes[8 + Number(bytes.readBigUInt64LE(0))] ^= 1
  writeFileSync(path, bytes)
}

/** Removes the records at these places, counted from 1, from the journal of a directory that is closed. */
export const dropRecords = (
  dataDir: string,
  places: readonly number[],
  database: 'catalog.db' | 'os.db' = 'catalog.db',
): void => {
  const opened = new DatabaseSync(join(dataDir, database))
  const ids = (opened.prepare('SELECT id FROM journal ORDER BY id').all() as { id: number }[]).map(
    ({ id }) => id,
  )
  for (const place of places) opened.prepare('DELETE FROM journal WHERE id = ?').run(ids[place - 1])
  opened.close()
  // This has moved the log into the database.
  forgetSynced(dataDir)
}

/** Returns the snapshots of the current version, oldest first. */
export const snapshotsOf = ({ writer }: OpenWriter, name = 'user'): CatalogSnapshot[] =>
  writer.find(name).current.stored.snapshots

/** Returns the code and the message with which a start is refused. */
export const refusalOf = async (
  dataDir: string,
  options: Parameters<typeof openWriter>[1] = {},
): Promise<{ code: string; message: string }> => {
  try {
    await openWriter(dataDir, options)
  } catch (error) {
    const { code, message } = error as { code: string; message: string }
    return { code, message }
  }
  throw new Error('the start was not refused')
}
