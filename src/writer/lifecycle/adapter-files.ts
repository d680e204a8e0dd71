/** Writes the factors of an adapter to disk. */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { CatalogAdapter } from '../../storage/catalog-rows.ts'
import type { SnapshotFacts } from '../../storage/snapshot-format.ts'
import { writeSnapshot } from '../../storage/snapshot-write.ts'
import type { AdapterBuild } from './adapters.ts'
import type { TableModel } from './table-model.ts'

/**
 * Writes A and B, each as a file of the snapshot format, and returns their catalog entry. Rejects with the
 * system's error.
 */
export const writeAdapter = async (
  directory: string,
  table: TableModel,
  { handle }: AdapterBuild,
  alpha: number,
  nowMs: number,
): Promise<CatalogAdapter> => {
  const { version, rows, rank, dtype, a, b } = handle
  const facts = {
    tableId: table.id,
    table: table.name,
    version,
    startSequence: 0,
    step: 0,
    updatedAtMs: nowMs,
    state: null,
  }
  const factsA: SnapshotFacts = { ...facts, rows, dim: rank, dtype }
  const factsB: SnapshotFacts = { ...facts, rows: rank, dim: table.current.handle.dim, dtype: 'float32' }
  const writtenA = await writeSnapshot(directory, factsA, { segments: a, state: null })
  const writtenB = await writeSnapshot(directory, factsB, {
    segments: [{ memory: b, firstRow: 0, rowCount: rank }],
    state: null,
  }).catch(async (error: unknown) => {
    await rm(join(directory, writtenA.file), { force: true })
    throw error
  })
  return {
    tableId: table.id,
    version,
    rank,
    alpha,
    attachedAtMs: nowMs,
    dtype,
    fileA: writtenA.file,
    sha256A: writtenA.sha256,
    fileB: writtenB.file,
    sha256B: writtenB.sha256,
  }
}
