import { crc32 } from 'node:zlib'
import type { Dtype, Settings } from '../core/types.ts'

/** A table. `id` is given to no other table, ever. */
export interface CatalogTable {
  id: number
  name: string
  createdAtMs: number
  changedAtMs: number
  settings: Settings
  /** The highest version there ever was. */
  highest: number
  current: number
  /** Raised each time the table drops its optimizer state: only state of this epoch is taken up again. */
  stateEpoch: number
}

export interface CatalogVersion {
  tableId: number
  version: number
  rows: number
  dim: number
  dtype: Dtype
  createdAtMs: number
}

export interface CatalogAlias {
  alias: string
  /** The name of a table, which need not exist. */
  table: string
  /** null: whichever is current. */
  version: number | null
}

/**
 * A snapshot file. It is whole once the journal after `startSequence` was written over it, at least through
 * `endSequence`.
 */
export interface CatalogSnapshot {
  id: number
  tableId: number
  version: number
  /** Name within the folder of snapshots. */
  file: string
  startSequence: number
  endSequence: number
  /** Gradient steps taken at the start. */
  step: number
  createdAtMs: number
  bytes: number
  /** Of the whole file, hexadecimal: what sha256sum prints. */
  sha256: string
  stateKind: string | null
  stateEpoch: number
}

/** The LoRA adapter of a version: A and B as files like snapshots, of which no journal follows. */
export interface CatalogAdapter {
  tableId: number
  version: number
  rank: number
  alpha: number
  attachedAtMs: number
  /** Of A. */
  dtype: Dtype
  fileA: string
  sha256A: string
  fileB: string
  sha256B: string
}

/** Everything needed to build the writer's tables again, rows aside. */
export interface CatalogImage {
  tables: CatalogTable[]
  versions: CatalogVersion[]
  aliases: CatalogAlias[]
  snapshots: CatalogSnapshot[]
  adapters: CatalogAdapter[]
  /** The next number for a table or snapshot. */
  nextId: number
}

export type CatalogChange =
  | { kind: 'put-table'; table: CatalogTable }
  /**
   * With its versions, and the listing of their snapshots and adapters. The journal and the files are removed
   * afterwards.
   */
  | { kind: 'delete-table'; tableId: number }
  | { kind: 'put-version'; version: CatalogVersion }
  /** With the listing of its snapshots and adapter. */
  | { kind: 'delete-version'; tableId: number; version: number }
  | { kind: 'put-alias'; alias: CatalogAlias }
  | { kind: 'delete-alias'; alias: string }
  | { kind: 'put-snapshot'; snapshot: CatalogSnapshot }
  | { kind: 'delete-snapshot'; snapshotId: number }
  | { kind: 'put-adapter'; adapter: CatalogAdapter }
  | { kind: 'delete-adapter'; tableId: number; version: number }

/**
 * SQLite's own checks see the pages, not what they say: a flipped bit in a number is fine with them. So each
 * row carries a CRC-32 of its values, and the superblock one of how many rows there are and what their CRCs
 * add up to.
 */
export const CATALOG_SCHEMA = `
  CREATE TABLE tables (id INTEGER PRIMARY KEY, name TEXT NOT NULL, created_at REAL NOT NULL, changed_at REAL NOT NULL,
    settings TEXT NOT NULL, highest INTEGER NOT NULL, current INTEGER NOT NULL, state_epoch INTEGER NOT NULL, crc INTEGER NOT NULL) STRICT;
  CREATE TABLE versions (table_id INTEGER NOT NULL, version INTEGER NOT NULL, rows INTEGER NOT NULL, dim INTEGER NOT NULL,
    dtype TEXT NOT NULL, created_at REAL NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (table_id, version)) STRICT, WITHOUT ROWID;
  CREATE TABLE aliases (alias TEXT PRIMARY KEY, target TEXT NOT NULL, version INTEGER, crc INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE snapshots (id INTEGER PRIMARY KEY, table_id INTEGER NOT NULL, version INTEGER NOT NULL, file TEXT NOT NULL,
    start_sequence INTEGER NOT NULL, end_sequence INTEGER NOT NULL, step REAL NOT NULL, created_at REAL NOT NULL,
    bytes INTEGER NOT NULL, sha256 TEXT NOT NULL, state_kind TEXT, state_epoch INTEGER NOT NULL, crc INTEGER NOT NULL) STRICT;
  CREATE TABLE adapters (table_id INTEGER NOT NULL, version INTEGER NOT NULL, rank INTEGER NOT NULL, alpha REAL NOT NULL,
    attached_at REAL NOT NULL, dtype TEXT NOT NULL, file_a TEXT NOT NULL, sha256_a TEXT NOT NULL, file_b TEXT NOT NULL,
    sha256_b TEXT NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (table_id, version)) STRICT, WITHOUT ROWID;
`

/**
 * The members of each row and the columns that hold them, in the order in which their checksum covers them.
 */
export const CATALOG_COLUMNS = {
  tables: {
    id: 'id',
    name: 'name',
    createdAtMs: 'created_at',
    changedAtMs: 'changed_at',
    settings: 'settings',
    highest: 'highest',
    current: 'current',
    stateEpoch: 'state_epoch',
  },
  versions: {
    tableId: 'table_id',
    version: 'version',
    rows: 'rows',
    dim: 'dim',
    dtype: 'dtype',
    createdAtMs: 'created_at',
  },
  aliases: { alias: 'alias', table: 'target', version: 'version' },
  snapshots: {
    id: 'id',
    tableId: 'table_id',
    version: 'version',
    file: 'file',
    startSequence: 'start_sequence',
    endSequence: 'end_sequence',
    step: 'step',
    createdAtMs: 'created_at',
    bytes: 'bytes',
    sha256: 'sha256',
    stateKind: 'state_kind',
    stateEpoch: 'state_epoch',
  },
  adapters: {
    tableId: 'table_id',
    version: 'version',
    rank: 'rank',
    alpha: 'alpha',
    attachedAtMs: 'attached_at',
    dtype: 'dtype',
    fileA: 'file_a',
    sha256A: 'sha256_a',
    fileB: 'file_b',
    sha256B: 'sha256_b',
  },
} as const satisfies {
  tables: Record<keyof CatalogTable, string>
  versions: Record<keyof CatalogVersion, string>
  aliases: Record<keyof CatalogAlias, string>
  snapshots: Record<keyof CatalogSnapshot, string>
  adapters: Record<keyof CatalogAdapter, string>
}

export type CatalogTableName = keyof typeof CATALOG_COLUMNS
export type StoredValue = string | number | null

/** The checksum of a row's values, and of what the row is. */
export const rowCrc = (kind: string, values: readonly StoredValue[]): number =>
  crc32(JSON.stringify([kind, ...values]))
