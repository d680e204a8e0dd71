import { type ApplyContext, computeUpdate } from '../../src/writer/updates/apply.ts'
import { PendingRows } from '../../src/writer/updates/pending.ts'
import type { PreimageLog } from '../../src/writer/updates/pre-images.ts'
import type { Build, KeeperTable } from '../../src/writer/lifecycle/table-model.ts'
import type { KeeperUpdate } from '../../src/writer/updates/update.ts'
import { makeVisible } from '../../src/writer/updates/visible.ts'
import { finishBuild, planReplacement } from '../../src/writer/lifecycle/versions.ts'

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
