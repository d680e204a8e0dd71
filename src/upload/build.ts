import { refuse } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { WriterClient } from '../writer/client.ts'
import type { BeginArguments } from '../writer/protocol.ts'
import type { SegmentHandle } from '../tables/handles.ts'

/** What making a table needs of the line to the writer. */
export type WriterConnection = Pick<WriterClient, 'call'>

/** A version that became current. */
export interface BuiltTable {
  /** There was no table of that name before. */
  created: boolean
  version: number
}

/**
 * Makes a version of a table: memory is reserved, `fill` writes the rows, then the version becomes current everywhere. Nobody sees it
 * before that; when anything fails its memory goes back, the table stays as it was, and the failure goes on to the caller.
 * `fill` writes optimizer state too when `begin` announces it, and returns the gradient steps that it comes from: 0 without.
 */
export const buildTable = async (
  writer: WriterConnection,
  begin: BeginArguments,
  fill: (segments: readonly SegmentHandle[], state: readonly SegmentHandle[] | null) => Promise<number>,
): Promise<BuiltTable> => {
  const { buildId, segments, state } = await writer.call('beginBuild', begin)
  try {
    const step = await fill(segments, state)
    return await writer.call('commitBuild', { buildId, step })
  } catch (error) {
    // Only a closed line refuses this, and then the writer gives the build up by itself.
    await writer.call('abortBuild', { buildId }).catch(() => null)
    throw error
  }
}

/** Refuses (SHAPE_MISMATCH) what can be no table: no columns, or more rows or columns than are served. A table without rows is one. */
export const checkTableShape = (rows: number, dim: number): void => {
  const { tableRowsMax, dimMax } = LIMITS
  if (!Number.isSafeInteger(rows) || rows < 0 || rows > tableRowsMax) {
    refuse('SHAPE_MISMATCH', `a table has 0 to ${tableRowsMax} rows, not ${rows}`)
  }
  if (!Number.isSafeInteger(dim) || dim < 1 || dim > dimMax)
    refuse('SHAPE_MISMATCH', `the dim of a table is 1 to ${dimMax}, not ${dim}`)
}
