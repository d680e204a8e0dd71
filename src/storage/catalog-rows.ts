/** The rows of the catalog: their types, their columns in SQLite, and their checksums. */
import { crc32 } from 'node:zlib'
import type { Dtype, Settings } from '../core/types.ts'

/** A table. Its `id` is never given to another one. */
export interface CatalogTable {
  id: number
  name: string
  createdAtMs: number
  changedAtMs: number
  settings: Settings
  /** The highest version that the table has ever had. */
  highest: number
  current: number
  /**
   * Raised each time the table drops its optimizer state. Recovery only restores state of the current epoch.
   */
  stateEpoch: number
  /** Raised by each change of what clients see of the table, except its data. */
  revision: number
}

export interface CatalogVersion {
  tableId: number
  version: number
  rows: number
  dim: number
  dtype: Dtype
  createdAtMs: number
  /**
   * No update has had a higher sequence: higher ones are reserved here before they are given out. A clean
   * stop lowers it to the last one.
   */
  reserved: number
}

/** The highest version of a deleted table, so that another table of the name goes on from it. */
export interface CatalogName {
  /** Ascending in the order of deletion. */
  id: number
  /** Empty for the row that covers every name without one of its own. */
  name: string
  highest: number
}

/** Sequences of a version that may have been given out and were taken back. No record ever has one again. */
export interface CatalogSkip {
  tableId: number
  version: number
  first: number
  last: number
  createdAtMs: number
}

export interface CatalogAlias {
  alias: string
  /** The name of a table, which need not exist. */
  table: string
  /** The version that the alias names; null for the current one. */
  version: number | null
}

/**
 * A snapshot file. It is consistent once the journal after `startSequence` is replayed over it, through
 * `endSequence` at least.
 */
export interface CatalogSnapshot {
  id: number
  tableId: number
  version: number
  /** Name within the folder of snapshots. */
  file: string
  startSequence: number
  endSequence: number
  /** Gradient steps taken when it began. */
  step: number
  createdAtMs: number
  bytes: number
  /** SHA-256 of the whole file, hexadecimal, as sha256sum prints it. */
  sha256: string
  stateKind: string | null
  stateEpoch: number
}

/** The LoRA adapter of a version: A and B are files like snapshots, but without a journal. */
export interface CatalogAdapter {
  tableId: number
  version: number
  rank: number
  alpha: number
  attachedAtMs: number
  /** The dtype of A. */
  dtype: Dtype
  fileA: string
  sha256A: string
  fileB: string
  sha256B: string
}

/** Everything that recovery needs to build the writer's tables again, except their rows. */
export interface CatalogImage {
  tables: CatalogTable[]
  versions: CatalogVersion[]
  aliases: CatalogAlias[]
  snapshots: CatalogSnapshot[]
  adapters: CatalogAdapter[]
  names: CatalogName[]
  skips: CatalogSkip[]
  /** The next number for a table or snapshot. */
  nextId: number
}

export type CatalogChange =
  | { kind: 'put-table'; table: CatalogTable }
  /**
   * Also deletes the versions of the table and the rows of their snapshots and adapters. Journal and files
   * are removed later.
   */
  | { kind: 'delete-table'; tableId: number }
  | { kind: 'put-version'; versionRow: CatalogVersion }
  /** Also lists its snapshots and its adapter no more. */
  | { kind: 'delete-version'; tableId: number; version: number }
  | { kind: 'put-alias'; alias: CatalogAlias }
  | { kind: 'delete-alias'; alias: string }
  | { kind: 'put-snapshot'; snapshot: CatalogSnapshot }
  | { kind: 'delete-snapshot'; snapshotId: number }
  | { kind: 'put-adapter'; adapter: CatalogAdapter }
  | { kind: 'delete-adapter'; tableId: number; version: number }
  | { kind: 'put-name'; nameRow: CatalogName }
  | { kind: 'delete-name'; nameId: number }
  | { kind: 'put-skip'; skip: CatalogSkip }
  /** Deletes the skips that begin after a sequence. */
  | { kind: 'delete-skips'; tableId: number; version: number; after: number }
  | { kind: 'delete-skip'; tableId: number; version: number; first: number }

/**
 * SQLite's own checks cover the structure of pages, not the values: they do not notice a flipped bit in a
 * number. So each row has a CRC-32 of its values, and the superblock has the count of rows and the sum of
 * their CRCs. This is format 1, which never changes: migrations.ts leads from it to the present one. SQLite
 * stores this text in the file, so it must stay the same to the byte: long lines are continued with a
 * backslash.
 */
export const CATALOG_SCHEMA = `
  CREATE TABLE tables (id INTEGER PRIMARY KEY, name TEXT NOT NULL, created_at REAL NOT NULL, \
changed_at REAL NOT NULL,
    settings TEXT NOT NULL, highest INTEGER NOT NULL, current INTEGER NOT NULL, \
state_epoch INTEGER NOT NULL, crc INTEGER NOT NULL) STRICT;
  CREATE TABLE versions (table_id INTEGER NOT NULL, version INTEGER NOT NULL, rows INTEGER NOT NULL, \
dim INTEGER NOT NULL,
    dtype TEXT NOT NULL, created_at REAL NOT NULL, crc INTEGER NOT NULL, \
PRIMARY KEY (table_id, version)) STRICT, WITHOUT ROWID;
  CREATE TABLE aliases (alias TEXT PRIMARY KEY, target TEXT NOT NULL, version INTEGER, \
crc INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE snapshots (id INTEGER PRIMARY KEY, table_id INTEGER NOT NULL, version INTEGER NOT NULL, \
file TEXT NOT NULL,
    start_sequence INTEGER NOT NULL, end_sequence INTEGER NOT NULL, step REAL NOT NULL, \
created_at REAL NOT NULL,
    bytes INTEGER NOT NULL, sha256 TEXT NOT NULL, state_kind TEXT, \
state_epoch INTEGER NOT NULL, crc INTEGER NOT NULL) STRICT;
  CREATE TABLE adapters (table_id INTEGER NOT NULL, version INTEGER NOT NULL, rank INTEGER NOT NULL, \
alpha REAL NOT NULL,
    attached_at REAL NOT NULL, dtype TEXT NOT NULL, file_a TEXT NOT NULL, \
sha256_a TEXT NOT NULL, file_b TEXT NOT NULL,
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
    revision: 'revision',
  },
  versions: {
    tableId: 'table_id',
    version: 'version',
    rows: 'rows',
    dim: 'dim',
    dtype: 'dtype',
    createdAtMs: 'created_at',
    reserved: 'reserved',
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
  names: { id: 'id', name: 'name', highest: 'highest' },
  skips: {
    tableId: 'table_id',
    version: 'version',
    first: 'first',
    last: 'last',
    createdAtMs: 'created_at',
  },
} as const satisfies {
  tables: Record<keyof CatalogTable, string>
  versions: Record<keyof CatalogVersion, string>
  aliases: Record<keyof CatalogAlias, string>
  snapshots: Record<keyof CatalogSnapshot, string>
  adapters: Record<keyof CatalogAdapter, string>
  names: Record<keyof CatalogName, string>
  skips: Record<keyof CatalogSkip, string>
}

export type CatalogTableName = keyof typeof CATALOG_COLUMNS
export type StoredValue = string | number | null

/** The checksum of a row's values and of its kind. */
export const rowCrc = (kind: string, values: readonly StoredValue[]): number =>
  crc32(JSON.stringify([kind, ...values]))
