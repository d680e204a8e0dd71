import { type ApplyContext, computeUpdate } from '../../src/keeper/apply.ts'
import { PendingRows } from '../../src/keeper/pending.ts'
import type { PreimageLog } from '../../src/keeper/preimages.ts'
import type { Build, KeeperTable } from '../../src/keeper/tables.ts'
import type { KeeperUpdate } from '../../src/keeper/update.ts'
import { makeVisible } from '../../src/keeper/visible.ts'
import { finishBuild, planReplacement } from '../../src/keeper/versions.ts'

/** The table that a build becomes, which no keeper and no disk knows. */
export const commitAside = (build: Build, { step = 0, nowMs = 0 } = {}): KeeperTable =>
  planReplacement(build, finishBuild(build, undefined, { step, nowMs }), undefined, 1).table

/** One update of such a table, computed and visible at once. */
export const updateAside = (
  context: ApplyContext,
  table: KeeperTable,
  update: KeeperUpdate,
  logs: readonly PreimageLog[] = [],
): { sequence: number; rowsUpdated: number } => {
  const planned = computeUpdate(context, table, update, new PendingRows())
  if (planned === null) return { sequence: table.current.table.readSequence(), rowsUpdated: 0 }
  makeVisible(context.arena, planned, logs)
  table.current.planned = null
  return { sequence: planned.sequence, rowsUpdated: planned.rows.length }
}
