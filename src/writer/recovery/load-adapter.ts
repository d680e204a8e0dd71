/** Loads adapters at a start. */
import { join } from 'node:path'
import { rowBytes } from '../../layout/table-layout.ts'
import { memoriesOf } from '../../tables/handles.ts'
import type { TableMemory } from '../../tables/memory.ts'
import type { CatalogAdapter } from '../../storage/catalog-rows.ts'
import type { SnapshotFacts } from '../../storage/snapshot-format.ts'
import { refuseSnapshot } from '../../storage/snapshot-format.ts'
import { readSnapshot } from '../../storage/snapshot-read.ts'
import type { AdapterModel, VersionModel } from '../lifecycle/table-model.ts'

/**
 * Loads the adapter of a version from its two files. Refuses DamagedSnapshot, MissingFile,
 * MEMORY_QUOTA_EXCEEDED.
 */
export const loadAdapter = async (
  directory: string,
  memory: TableMemory,
  { handle }: VersionModel,
  listed: CatalogAdapter,
  key: string,
): Promise<AdapterModel> => {
  const { rank, alpha, dtype, attachedAtMs } = listed
  if (dtype === 'int8')
    return refuseSnapshot(join(directory, listed.fileA), 'an adapter is not stored as int8')
  const { rows, dim, version } = handle
  const a = memory.allocate(rows, rowBytes(rank, dtype))
  const memories = memoriesOf(a.segments)
  let reservedBytes = a.reservedBytes
  try {
    const b = memory.allocate(1, rank * dim * 4)
    reservedBytes += b.reservedBytes
    memories.push(...memoriesOf(b.segments))
    await readPart(join(directory, listed.fileA), { rows, dim: rank, dtype }, a.segments)
    await readPart(join(directory, listed.fileB), { rows: rank, dim, dtype: 'float32' }, [
      { ...b.segments[0], rowCount: rank },
    ])
    const adapter = {
      key,
      version,
      rows,
      rank,
      alpha,
      dtype,
      attachedAt: attachedAtMs,
      a: a.segments,
      b: b.segments[0].memory,
    }
    return { handle: adapter, reservedBytes, files: [listed.fileA, listed.fileB] }
  } catch (error) {
    memory.release(reservedBytes, memories)
    throw error
  }
}

const readPart = (
  path: string,
  expected: Pick<SnapshotFacts, 'rows' | 'dim' | 'dtype'>,
  segments: VersionModel['handle']['segments'],
): Promise<SnapshotFacts> =>
  readSnapshot(path, (facts) => {
    const fits =
      facts.rows === expected.rows &&
      facts.dim === expected.dim &&
      facts.dtype === expected.dtype &&
      facts.state === null
    return fits
      ? { segments, state: null }
      : refuseSnapshot(path, 'its header is not that of the expected part of the adapter')
  })
