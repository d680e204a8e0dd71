import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { rowCrc, type StoredValue } from './catalog-rows.ts'
import { refuseData } from './refusals.ts'

/** One row in each database that ties it to its directory and to what it holds. */
export interface SuperblockFacts {
  /** Random, the same in every database of a data directory: one from elsewhere is noticed. */
  directory: string
  /** The next number for a table or snapshot. */
  nextId: number
  /** What the rest of the database adds up to. */
  contents: string
}

export const SUPERBLOCK_SCHEMA = `
  CREATE TABLE seal (id INTEGER PRIMARY KEY CHECK (id = 1), directory TEXT NOT NULL, next_id INTEGER NOT NULL,
    contents TEXT NOT NULL, crc INTEGER NOT NULL) STRICT;
`

const valuesOf = ({ directory, nextId, contents }: SuperblockFacts): StoredValue[] => [
  directory,
  nextId,
  contents,
]

/** The superblock of a database. */
export class Superblock {
  readonly #path: string
  readonly #select: StatementSync
  readonly #replace: StatementSync

  constructor(path: string, database: Pick<DatabaseSync, 'prepare'>) {
    this.#path = path
    this.#select = database.prepare('SELECT directory, next_id AS nextId, contents, crc FROM seal')
    this.#replace = database.prepare(
      'REPLACE INTO seal (id, directory, next_id, contents, crc) VALUES (1, ?, ?, ?, ?)',
    )
  }

  /** Refuses DamagedCatalog when there is none, or its checksum is wrong. */
  read(): SuperblockFacts {
    const row = this.#select.get() as (SuperblockFacts & { crc: number }) | undefined
    if (row === undefined || rowCrc('seal', valuesOf(row)) !== row.crc)
      refuseData('DamagedCatalog', this.#path, 'its superblock is damaged')
    return { directory: row.directory, nextId: row.nextId, contents: row.contents }
  }

  write(facts: SuperblockFacts): void {
    const values = valuesOf(facts)
    this.#replace.run(...values, rowCrc('seal', values))
  }
}
