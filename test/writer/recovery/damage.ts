import { readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { CatalogSnapshot } from '../../../src/storage/catalog-rows.ts'
import { type OpenWriter, openWriter } from '../restart.ts'

/** What happens to a file of the folder of snapshots. */
export type Damage = 'flipped' | 'cut' | 'missing'

/** Damages a file: a bit of its first number, its end, or all of it. */
export const damageFile = (dataDir: string, file: string, damage: Damage): void => {
  const path = join(dataDir, 'snapshots', file)
  if (damage === 'missing') return rmSync(path)
  const bytes = readFileSync(path)
  if (damage === 'cut') return truncateSync(path, bytes.length - 3)
  // Behind the header, whose length is its first eight bytes.
  bytes[8 + Number(bytes.readBigUInt64LE(0))] ^= 1
  writeFileSync(path, bytes)
}

/**
 * Takes records out of the journal of a directory that nobody has open: those of these places,
 * counted from 1.
 */
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
}

/** Snapshots of the current version, oldest first. */
export const snapshotsOf = ({ writer }: OpenWriter, name = 'user'): CatalogSnapshot[] =>
  writer.find(name).current.stored.snapshots

/** How a start is refused: its code and what it says. */
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
