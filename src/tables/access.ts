import type { Arena } from './arena.ts'
import { type GatherJob, gatherUnchecked } from './gather.ts'
import type { TableVersion } from './table.ts'

/** The writer's ways to rows: it is the only writer, so it reads without looking at a lock. Addresses are bytes of its arena. */

type Rows = Pick<GatherJob, 'idsAt' | 'count' | 'outAt'>

/** Rows as float32. */
export const gatherFloat32 = (version: TableVersion, arena: Arena, rows: Rows): void =>
  gatherUnchecked(version, arena.memory, { ...rows, format: 'float32', fillAt: 0 })

/** Rows as stored. */
export const gatherStored = (version: TableVersion, arena: Arena, rows: Rows): void =>
  gatherUnchecked(version, arena.memory, { ...rows, format: 'stored', fillAt: 0 })

/**
 * Rounds float32 rows to the storage dtype (not int8), half to even. Returns the index of the first element that is not finite
 * afterwards, or -1.
 */
export const storeFloat32 = (
  version: TableVersion,
  arena: Arena,
  rows: { sourceAt: number; count: number; outAt: number },
): number => {
  const { dim, dtype } = version.handle
  if (dtype === 'int8') throw new Error('int8 rows are written by uploads only')
  return version
    .kernels(arena.memory)[0]
    .convert('float32', dtype, rows.sourceAt, rows.count * dim, rows.outAt)
}

/** Writes stored rows, each guarded by its stripe word. Only inside the write window of the version. */
export const scatterStored = (
  version: TableVersion,
  arena: Arena,
  rows: { idsAt: number; count: number; sourceAt: number },
): void => {
  const kernels = version.kernels(arena.memory)
  version.handle.segments.forEach(({ firstRow, rowCount }, i) => {
    kernels[i].scatter(rows.idsAt, rows.count, rows.sourceAt, firstRow, rowCount, version.rowBytes)
  })
}
