/** The catalog: tables, versions, aliases, snapshots and adapters as rows of SQLite, each with a checksum. */
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { Settings } from '../core/types.ts'
import { CATALOG_COLUMNS, rowCrc } from './catalog-rows.ts'
import type {
  CatalogAdapter,
  CatalogAlias,
  CatalogChange,
  CatalogImage,
  CatalogName,
  CatalogSkip,
  CatalogSnapshot,
  CatalogTable,
  CatalogTableName,
  CatalogVersion,
  StoredValue,
} from './catalog-rows.ts'
import { refuseData } from './refusals.ts'

const TABLE_NAMES = Object.keys(CATALOG_COLUMNS) as CatalogTableName[]

const DELETES = {
  'delete-table': [
    'DELETE FROM tables WHERE id = ?',
    'DELETE FROM versions WHERE table_id = ?',
    'DELETE FROM snapshots WHERE table_id = ?',
    'DELETE FROM adapters WHERE table_id = ?',
    'DELETE FROM skips WHERE table_id = ?',
  ],
  'delete-version': [
    'DELETE FROM versions WHERE table_id = ? AND version = ?',
    'DELETE FROM snapshots WHERE table_id = ? AND version = ?',
    'DELETE FROM adapters WHERE table_id = ? AND version = ?',
    'DELETE FROM skips WHERE table_id = ? AND version = ?',
  ],
  'delete-alias': ['DELETE FROM aliases WHERE alias = ?'],
  'delete-snapshot': ['DELETE FROM snapshots WHERE id = ?'],
  'delete-adapter': ['DELETE FROM adapters WHERE table_id = ? AND version = ?'],
  'delete-name': ['DELETE FROM names WHERE id = ?'],
  'delete-skips': ['DELETE FROM skips WHERE table_id = ? AND version = ? AND first > ?'],
  'delete-skip': ['DELETE FROM skips WHERE table_id = ? AND version = ? AND first = ?'],
} as const

type Row = Record<string, StoredValue>

/**
 * Reads and writes the catalog's rows. The caller writes inside its own transaction, and ends it with a new
 * superblock.
 */
export class Catalog {
  readonly #path: string
  readonly #select: Record<CatalogTableName, StatementSync>
  readonly #replace: Record<CatalogTableName, StatementSync>
  readonly #total: Record<CatalogTableName, StatementSync>
  readonly #deletes: Record<keyof typeof DELETES, StatementSync[]>

  constructor(path: string, database: Pick<DatabaseSync, 'prepare'>) {
    this.#path = path
    const prepareEach = (sql: (name: CatalogTableName, columns: [string, string][]) => string) =>
      Object.fromEntries(
        TABLE_NAMES.map((name) => [name, database.prepare(sql(name, Object.entries(CATALOG_COLUMNS[name])))]),
      ) as Record<CatalogTableName, StatementSync>
    this.#select = prepareEach((name, columns) => {
      const members = columns.map(([member, column]) => `${column} AS "${member}"`)
      return `SELECT ${members.join(', ')}, crc FROM ${name} ORDER BY 1, 2, 3`
    })
    this.#replace = prepareEach((name, columns) => {
      const names = columns.map(([, column]) => column)
      return `REPLACE INTO ${name} (${names.join(', ')}, crc) VALUES (${'?, '.repeat(columns.length)}?)`
    })
    this.#total = prepareEach(
      (name) => `SELECT count(*) AS rowCount, coalesce(sum(crc), 0) AS crcSum FROM ${name}`,
    )
    this.#deletes = Object.fromEntries(
      Object.entries(DELETES).map(([kind, statements]) => [
        kind,
        statements.map((sql) => database.prepare(sql)),
      ]),
    ) as Record<keyof typeof DELETES, StatementSync[]>
  }

  /** Reads all rows. Refuses DamagedCatalog, naming a row whose checksum is wrong. */
  load(): Omit<CatalogImage, 'nextId'> {
    return {
      tables: this.#read('tables').map(
        (row) =>
          ({ ...row, settings: JSON.parse(String(row.settings)) as Settings }) as unknown as CatalogTable,
      ),
      versions: this.#read('versions') as unknown as CatalogVersion[],
      aliases: this.#read('aliases') as unknown as CatalogAlias[],
      snapshots: this.#read('snapshots') as unknown as CatalogSnapshot[],
      adapters: this.#read('adapters') as unknown as CatalogAdapter[],
      names: this.#read('names') as unknown as CatalogName[],
      skips: this.#read('skips') as unknown as CatalogSkip[],
    }
  }

  #read(name: CatalogTableName): Row[] {
    return (this.#select[name].all() as Row[]).map(({ crc, ...row }) => {
      const values = Object.values(row)
      if (rowCrc(name, values) === crc) return row
      return refuseData(
        'DamagedCatalog',
        this.#path,
        `the row ${JSON.stringify(values.slice(0, 2))} of ${name} has a wrong checksum`,
      )
    })
  }

  /** Makes one change. */
  apply(change: CatalogChange): void {
    switch (change.kind) {
      case 'put-table':
        return this.#put('tables', { ...change.table, settings: JSON.stringify(change.table.settings) })
      case 'put-version':
        return this.#put('versions', { ...change.versionRow })
      case 'put-alias':
        return this.#put('aliases', { ...change.alias })
      case 'put-snapshot':
        return this.#put('snapshots', { ...change.snapshot })
      case 'put-adapter':
        return this.#put('adapters', { ...change.adapter })
      case 'put-name':
        return this.#put('names', { ...change.nameRow })
      case 'put-skip':
        return this.#put('skips', { ...change.skip })
      case 'delete-table':
        return this.#delete(change.kind, change.tableId)
      case 'delete-version':
      case 'delete-adapter':
        return this.#delete(change.kind, change.tableId, change.version)
      case 'delete-alias':
        return this.#delete(change.kind, change.alias)
      case 'delete-snapshot':
        return this.#delete(change.kind, change.snapshotId)
      case 'delete-name':
        return this.#delete(change.kind, change.nameId)
      case 'delete-skips':
        return this.#delete(change.kind, change.tableId, change.version, change.after)
      case 'delete-skip':
        return this.#delete(change.kind, change.tableId, change.version, change.first)
    }
  }

  #put(name: CatalogTableName, row: Row): void {
    const values = Object.keys(CATALOG_COLUMNS[name]).map((member) => row[member])
    this.#replace[name].run(...values, rowCrc(name, values))
  }

  #delete(kind: keyof typeof DELETES, ...key: (string | number)[]): void {
    for (const statement of this.#deletes[kind]) statement.run(...key)
  }

  /** Whether no table is listed. */
  isEmpty(): boolean {
    return (this.#total.tables.get() as { rowCount: number }).rowCount === 0
  }

  /**
   * Returns the count of rows and the sum of their checksums for each table. The superblock stores it, so
   * that a lost or doubled row is noticed.
   */
  summarize(): string {
    return TABLE_NAMES.map((name) => {
      const total = this.#total[name].get() as { rowCount: number; crcSum: number }
      return `${name} ${total.rowCount}:${total.crcSum}`
    }).join(' ')
  }
}
