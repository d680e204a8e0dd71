/** Builds and updates tables in one thread, without a writer and without a disk. */
import { type ApplyContext, computeUpdate } from '../../src/writer/updates/apply.ts'
import { PendingRows } from '../../src/writer/updates/pending.ts'
import type { PreImageLog } from '../../src/writer/updates/pre-images.ts'
import type { Build, TableModel } from '../../src/writer/lifecycle/table-model.ts'
import type { WriterUpdate } from '../../src/writer/updates/update.ts'
import { makeVisible } from '../../src/writer/updates/visible.ts'
import { finishBuild, planReplacement } from '../../src/writer/lifecycle/versions.ts'

/** Turns a build into a table that no writer and no disk has. */
export const commitAside = (build: Build, { step = 0, nowMs = 0 } = {}): TableModel =>
  planReplacement(build, finishBuild(build, undefined, { step, nowMs }), undefined, 1).table

/** Computes an update of such a table and makes it visible at once. */
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
