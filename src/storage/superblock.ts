/** The superblock of a database: the one row that ties it to its directory and to its contents. */
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { rowCrc, type StoredValue } from './catalog-rows.ts'
import { refuseData } from './refusals.ts'

/** The members of a superblock. */
export interface SuperblockFacts {
  /**
   * A random text that is the same in every database of a data directory, so that a database from elsewhere
   * is noticed.
   */
  directory: string
  /** The next number for a table or snapshot. */
  nextId: number
  /** The sums over the rows of the database; see `Catalog.summarize`. */
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

/** Reads and writes the superblock. Its SQL table has the name `seal`, which the format on disk fixes. */
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

  /** Reads the superblock. Refuses DamagedCatalog when there is none, or its checksum is wrong. */
  read(): SuperblockFacts {
    const row = this.#select.get() as (SuperblockFacts & { crc: number }) | undefined
    if (row === undefined || rowCrc('seal', valuesOf(row)) !== row.crc)
      refuseData('DamagedCatalog', this.#path, 'its superblock is damaged')
    return { directory: row.directory, nextId: row.nextId, contents: row.contents }
  }

  /** Writes the superblock, inside a transaction of the caller. */
  write(facts: SuperblockFacts): void {
    const values = valuesOf(facts)
    this.#replace.run(...values, rowCrc('seal', values))
  }
}
