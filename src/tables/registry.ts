/** The tables and aliases that one thread serves, by name. */
import { refuse } from '../core/errors.ts'
import type { TableInfo } from '../core/types.ts'
import { openAdapter, type TableAdapter } from './adapter.ts'
import { describeVersion } from './describe.ts'
import type { AliasRecord, TableHandle } from './handles.ts'
import { TableReader } from './table-reader.ts'

/**
 * A table as mapped by one thread. Every publication replaces the whole entry, so a caller that keeps one
 * sees a single consistent state.
 */
export interface TableEntry {
  readonly record: TableHandle
  readonly current: TableReader
  readonly versions: ReadonlyMap<number, TableReader>
  /** The adapters, by the number of their version. */
  readonly adapters: ReadonlyMap<number, TableAdapter>
}

/**
 * The tables of one thread. The writer publishes changes into it, and lookups resolve names in it without
 * taking a lock.
 */
export class Registry {
  readonly #tables = new Map<string, TableEntry>()
  #aliases = new Map<string, AliasRecord>()
  /** Aliases that resolve to a readable version, with the entry that their readers use. */
  readonly #aliased = new Map<string, TableEntry>()
  readonly #onReleased: (key: string) => void

  /** Calls `onReleased(key)` once no reader of this thread has the version pinned any more. */
  constructor(onReleased: (key: string) => void) {
    this.#onReleased = onReleased
  }

  /**
   * Serves `record` under the name from now on, or nothing if it is null. Retires the versions that are no
   * longer part of it.
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
      if (current === undefined) throw new Error('the current version is not among the readable ones')
      this.#tables.set(name, { record, current, versions, adapters })
    }
    this.#resolveAliases()
    for (const [key, reader] of known) reader.retire(() => this.#onReleased(key))
    for (const [key, { factors }] of knownAdapters) factors.retire(() => this.#onReleased(key))
  }

  /** Replaces all aliases of this thread. */
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

  /** Returns the table with this name or behind this alias, or undefined. */
  get(name: string): TableEntry | undefined {
    return this.#tables.get(name) ?? this.#aliased.get(name)
  }

  /** Returns the table with this name, or undefined: also for an alias, which cannot be changed. */
  getTable(name: string): TableEntry | undefined {
    return this.#tables.get(name)
  }

  /**
   * Returns the table to read under the name, which may be an alias. Refuses TABLE_NOT_FOUND, and
   * VERSION_NOT_FOUND for an alias whose version was deleted.
   */
  find(name: string): TableEntry {
    return this.get(name) ?? this.#refuseMissing(name)
  }

  /**
   * Returns the table to change. An alias can only be read, so it is refused with TABLE_NOT_FOUND like an
   * unknown name.
   */
  findTable(name: string): TableEntry {
    const entry = this.#tables.get(name)
    if (entry !== undefined) return entry
    const alias = this.#aliases.get(name)
    if (alias === undefined) return this.#refuseMissing(name)
    return refuse(
      'TABLE_NOT_FOUND',
      `${JSON.stringify(name)} is an alias, which can only be read; ` +
        `send the request to its table ${JSON.stringify(alias.table)}`,
    )
  }

  /**
   * Refuses INVALID_REQUEST if the name is an alias, because a table and an alias of the same name could not
   * be told apart.
   */
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
    const description = `${JSON.stringify(name)} is an alias of table ${JSON.stringify(alias.table)}`
    if (!this.#tables.has(alias.table))
      return refuse('TABLE_NOT_FOUND', `${description}, which does not exist`)
    return refuse('VERSION_NOT_FOUND', `${description}, version ${alias.version}, which no longer exists`)
  }

  /** Returns an alias, even if its table or version no longer exists. Refuses ALIAS_NOT_FOUND. */
  findAlias(name: string): AliasRecord {
    return this.#aliases.get(name) ?? refuse('ALIAS_NOT_FOUND', `there is no alias ${JSON.stringify(name)}`)
  }

  /** Returns the aliases in ascending order of UTF-16 code units. */
  aliases(): AliasRecord[] {
    return [...this.#aliases.values()].sort((a, b) => (a.alias < b.alias ? -1 : 1))
  }

  /**
   * Returns the version that a request reads: the one it names, or the current one. Refuses
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

  /** Returns the table names in ascending order of UTF-16 code units. */
  names(): string[] {
    return [...this.#tables.keys()].sort()
  }
}

/**
 * Describes the current version to clients. `sequence` and `updated_at` are read from the control words at
 * the time of the call.
 */
export const describeTable = ({ record, current }: TableEntry): TableInfo =>
  describeVersion(record, current.handle, {
    sequence: current.readSequence(),
    updatedAtMs: current.readUpdatedAt(),
  })
