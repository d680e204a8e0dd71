import { refuse } from '../core/errors.ts'
import type { TableInfo } from '../core/types.ts'
import { openAdapter, type TableAdapter } from './adapter.ts'
import type { AliasRecord, TableHandle } from './handles.ts'
import { tableBytes } from '../layout/table-layout.ts'
import { TableReader } from './table-reader.ts'

/**
 * A table as one thread sees it. Replaced whole by each publication, so a caller that holds one sees one
 * state.
 */
export interface TableEntry {
  readonly record: TableHandle
  readonly current: TableReader
  readonly versions: ReadonlyMap<number, TableReader>
  /** By version. */
  readonly adapters: ReadonlyMap<number, TableAdapter>
}

/**
 * The tables of one thread. The writer publishes into it; lookups resolve names here, without waiting for
 * anybody.
 */
export class Registry {
  readonly #tables = new Map<string, TableEntry>()
  #aliases = new Map<string, AliasRecord>()
  /** Aliases whose table and version are there, as what a reader of them reads. */
  readonly #aliased = new Map<string, TableEntry>()
  readonly #onReleased: (key: string) => void

  /** `onReleased(key)`: no reader of this thread holds the version any more. */
  constructor(onReleased: (key: string) => void) {
    this.#onReleased = onReleased
  }

  /**
   * Makes `record` what this thread serves under the name; null: nothing any more. Versions that left are
   * retired.
   */
  publish(name: string, record: TableHandle | null): void {
    const before = this.#tables.get(name)
    const known = new Map([...(before?.versions.values() ?? [])].map((reader) => [reader.handle.key, reader]))
    const knownAdapters = new Map(
      [...(before?.adapters.values() ?? [])].map((adapter) => [adapter.handle.key, adapter]),
    )
    if (record === null) this.#tables.delete(name)
    else {
      const versions = new Map<number, TableReader>()
      for (const handle of record.versions) {
        versions.set(handle.version, known.get(handle.key) ?? new TableReader(handle))
        known.delete(handle.key)
      }
      const adapters = new Map<number, TableAdapter>()
      for (const handle of record.adapters) {
        adapters.set(handle.version, knownAdapters.get(handle.key) ?? openAdapter(handle))
        knownAdapters.delete(handle.key)
      }
      const current = versions.get(record.current)
      if (current === undefined) throw new Error('the current version is among the readable ones')
      this.#tables.set(name, { record, current, versions, adapters })
    }
    this.#resolveAliases()
    for (const [key, reader] of known) reader.retire(() => this.#onReleased(key))
    for (const [key, { factors }] of knownAdapters) factors.retire(() => this.#onReleased(key))
  }

  /** Makes these the aliases of this thread, in the place of all before. */
  publishAliases(aliases: readonly AliasRecord[]): void {
    this.#aliases = new Map(aliases.map((alias) => [alias.alias, alias]))
    this.#resolveAliases()
  }

  #resolveAliases(): void {
    this.#aliased.clear()
    for (const { alias, table, version } of this.#aliases.values()) {
      const entry = this.#tables.get(table)
      const current = version === null ? entry?.current : entry?.versions.get(version)
      if (entry !== undefined && current !== undefined) this.#aliased.set(alias, { ...entry, current })
    }
  }

  /** The table or alias, or undefined. */
  get(name: string): TableEntry | undefined {
    return this.#tables.get(name) ?? this.#aliased.get(name)
  }

  /**
   * The table that is read under the name, which may be an alias. Refuses TABLE_NOT_FOUND, and
   * VERSION_NOT_FOUND for an alias of a version that is gone.
   */
  find(name: string): TableEntry {
    return this.get(name) ?? this.#refuseMissing(name)
  }

  /** The table itself, which is to be changed. Refuses TABLE_NOT_FOUND, also for an alias. */
  findTable(name: string): TableEntry {
    const entry = this.#tables.get(name)
    if (entry !== undefined) return entry
    const alias = this.#aliases.get(name)
    if (alias === undefined) return this.#refuseMissing(name)
    return refuse(
      'TABLE_NOT_FOUND',
      `${JSON.stringify(name)} is an alias, which is for reading; ` +
        `the table is ${JSON.stringify(alias.table)}`,
    )
  }

  /** Refuses INVALID_REQUEST for the name of an alias: a table of that name could not be told from it. */
  refuseAlias(name: string): void {
    if (this.#aliases.has(name))
      refuse(
        'INVALID_REQUEST',
        `${JSON.stringify(name)} is an alias; delete it first, or choose another name for the table`,
      )
  }

  #refuseMissing(name: string): never {
    const alias = this.#aliases.get(name)
    if (alias === undefined) return refuse('TABLE_NOT_FOUND', `there is no table ${JSON.stringify(name)}`)
    const what = `${JSON.stringify(name)} is an alias of table ${JSON.stringify(alias.table)}`
    if (!this.#tables.has(alias.table)) return refuse('TABLE_NOT_FOUND', `${what}, which is not there`)
    return refuse('VERSION_NOT_FOUND', `${what}, version ${alias.version}, which is not there any more`)
  }

  /** An alias, whether what it stands for is there or not. Refuses ALIAS_NOT_FOUND. */
  findAlias(name: string): AliasRecord {
    return this.#aliases.get(name) ?? refuse('ALIAS_NOT_FOUND', `there is no alias ${JSON.stringify(name)}`)
  }

  /** The aliases, in ascending order of UTF-16 code units. */
  aliases(): AliasRecord[] {
    return [...this.#aliases.values()].sort((a, b) => (a.alias < b.alias ? -1 : 1))
  }

  /**
   * The version of a table that a request reads: the current one, or the one it names. Refuses
   * VERSION_NOT_FOUND.
   */
  resolve(entry: TableEntry, version: number | undefined): TableReader {
    if (version === undefined) return entry.current
    const found = entry.versions.get(version)
    if (found !== undefined) return found
    const readable = [...entry.versions.keys()].join(', ')
    return refuse(
      'VERSION_NOT_FOUND',
      `table ${JSON.stringify(entry.record.name)} has no version ${version}; readable: ${readable}`,
    )
  }

  /** Names in ascending order of UTF-16 code units. */
  names(): string[] {
    return [...this.#tables.keys()].sort()
  }
}

/** The description that clients see. `sequence` and `updated_at` are read from the control words now. */
export const describeTable = (entry: TableEntry): TableInfo =>
  describeVersion(entry, entry.current, entry.current.readSequence())

/**
 * The same of version `built` as it was committed, at sequence 0, whatever updates and replacements have come
 * since: the answer to the upload that made it. When the version has been replaced and freed already, only
 * the number is left.
 */
export const describeBuilt = (entry: TableEntry, built: number): TableInfo => ({
  ...describeVersion(entry, entry.versions.get(built) ?? entry.current, 0),
  version: built,
})

const describeVersion = ({ record }: TableEntry, table: TableReader, sequence: number): TableInfo => {
  const { version, rows, dim, dtype } = table.handle
  return {
    name: record.name,
    version,
    sequence,
    rows,
    dim,
    dtype,
    bytes: tableBytes(rows, dim, dtype),
    ...record.settings,
    created_at: new Date(record.createdAt).toISOString(),
    updated_at: new Date(Math.max(record.changedAt, table.readUpdatedAt())).toISOString(),
  }
}
