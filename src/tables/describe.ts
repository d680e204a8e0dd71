/** Describes tables to clients, for the writer and for HTTP workers alike. */
import type { TableInfo } from '../core/types.ts'
import { tableBytes } from '../layout/table-layout.ts'
import type { AliasRecord, HeldVersions, TableHandle, VersionHandle } from './handles.ts'

/**
 * Describes a version at `sequence` as the current one; `updatedAtMs` is the time of its last update, or 0.
 */
export const describeVersion = (
  { name, settings, createdAt, changedAt, held }: TableHandle,
  { version, rows, dim, dtype }: VersionHandle,
  { sequence, updatedAtMs }: { sequence: number; updatedAtMs: number },
): TableInfo => ({
  name,
  version,
  sequence,
  rows,
  dim,
  dtype,
  bytes: tableBytes(rows, dim, dtype),
  ...settings,
  ...(held.size > 0 && {
    held_versions: [...held].map(([number, aliases]) => ({ version: number, aliases: [...aliases] })),
  }),
  created_at: new Date(createdAt).toISOString(),
  updated_at: new Date(Math.max(changedAt, updatedAtMs)).toISOString(),
})

/** Finds the aliases that name a version of the table, by that version, both ascending. */
export const findHeld = (aliases: Iterable<AliasRecord>, table: string): HeldVersions => {
  const held = new Map<number, string[]>()
  for (const one of [...aliases].sort((a, b) => (a.alias < b.alias ? -1 : 1))) {
    if (one.table !== table || one.version === null) continue
    held.set(one.version, [...(held.get(one.version) ?? []), one.alias])
  }
  return new Map([...held].sort(([a], [b]) => a - b))
}
