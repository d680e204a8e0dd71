import { type ApplyContext, computeUpdate } from '../../src/writer/updates/apply.ts'
import { PendingRows } from '../../src/writer/updates/pending.ts'
import type { PreImageLog } from '../../src/writer/updates/pre-images.ts'
import type { Build, TableModel } from '../../src/writer/lifecycle/table-model.ts'
import type { WriterUpdate } from '../../src/writer/updates/update.ts'
import { makeVisible } from '../../src/writer/updates/visible.ts'
import { finishBuild, planReplacement } from '../../src/writer/lifecycle/versions.ts'

/** The table that a build becomes, which no writer and no disk knows. */
export const commitAside = (build: Build, { step = 0, nowMs = 0 } = {}): TableModel =>
  planReplacement(build, finishBuild(build, undefined, { step, nowMs }), undefined, 1).table

/** One update of such a table, computed and visible at once. */
export const updateAside = (
  context: ApplyContext,
  table: TableModel,
  update: WriterUpdate,
  logs: readonly PreImageLog[] = [],
): { sequence: number; rowsUpdated: number } => {
  const planned = computeUpdate(context, table, update, new PendingRows())
  if (planned === null) return { sequence: table.current.table.readSequence(), rowsUpdated: 0 }
  makeVisible(context.arena, planned, logs)
  table.current.planned = null
  return { sequence: planned.sequence, rowsUpdated: planned.rows.length }
}
