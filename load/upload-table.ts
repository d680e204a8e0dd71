/** Puts tables on a server the way a client with a matrix does. */
import { LEARNING_RATE, type TablePlan } from './scenarios.ts'
import type { SourceTable } from './rows.ts'
import type { Target } from './peers/target.ts'

/** How long one table took. */
export interface UploadMeasure {
  table: string
  rowCount: number
  dim: number
  durability: string
  seconds: number
  bytesPerSecond: number
}

/** Creates or replaces the table `plan.name`; throws when that is refused. */
export async function uploadTable(
  target: Target,
  plan: TablePlan,
  source: SourceTable,
): Promise<UploadMeasure> {
  const beganMs = performance.now()
  await target.wire.createTable(target.url, plan, source)
  const seconds = (performance.now() - beganMs) / 1_000
  if (target.role === 'gatherd') await setOptimizer(target, plan.name)
  const { name: table, durability } = plan
  return {
    table,
    rowCount: source.rowCount,
    dim: source.dim,
    durability,
    seconds,
    bytesPerSecond: source.values.byteLength / seconds,
  }
}

/**
 * A table keeps its settings when its data are replaced, so the optimizer that the updates rely on is set
 * again.
 */
async function setOptimizer(target: Target, table: string): Promise<void> {
  const answer = await fetch(`${target.url}/v1/tables/${table}`, {
    method: 'PATCH',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ optimizer: { kind: 'sgd', learning_rate: LEARNING_RATE } }),
  })
  if (answer.status !== 200)
    throw new Error(`PATCH of ${table}: status ${answer.status}: ${await answer.text()}`)
  await answer.arrayBuffer()
}
