/** Puts tables on a server the way a client with a matrix does: raw numbers in one streamed body. */
import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { LEARNING_RATE, type TablePlan } from './scenarios.ts'
import { type SourceTable, toBytes } from './rows.ts'
import type { Target } from './target.ts'

const PIECE_BYTES = 1_024 * 1_024

/** How long one table took. */
export interface UploadMeasure {
  table: string
  rowCount: number
  dim: number
  durability: string
  seconds: number
  bytesPerSecond: number
}

/** Creates or replaces the table `plan.name`; throws when the answer is not 200 or 201. */
export async function uploadTable(target: Target, plan: TablePlan, source: SourceTable): Promise<UploadMeasure> {
  const bytes = toBytes(source.values)
  const path = `/v1/tables/${plan.name}?rows=${source.rowCount}&dim=${source.dim}&input_dtype=float32&durability=${plan.durability}`
  const beganMs = performance.now()
  await sendBody(`${target.url}${path}`, bytes)
  const seconds = (performance.now() - beganMs) / 1_000
  if (target.role === 'gatherd') await setOptimizer(target, plan.name)
  const { name: table, durability } = plan
  return { table, rowCount: source.rowCount, dim: source.dim, durability, seconds, bytesPerSecond: bytes.length / seconds }
}

/** A table that was there before keeps its settings when its data are replaced: what the updates rely on is said again. */
async function setOptimizer(target: Target, table: string): Promise<void> {
  const answer = await fetch(`${target.url}/v1/tables/${table}`, {
    method: 'PATCH',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ optimizer: { kind: 'sgd', learning_rate: LEARNING_RATE } }),
  })
  if (answer.status !== 200) throw new Error(`PATCH of ${table}: status ${answer.status}: ${await answer.text()}`)
  await answer.arrayBuffer()
}

async function sendBody(url: string, bytes: Buffer): Promise<void> {
  const headers = { 'content-type': 'application/octet-stream', 'content-length': bytes.length }
  const upload = request(url, { method: 'PUT', headers })
  const answered = once(upload, 'response').then(([answer]) => readAnswer(answer))
  // Awaited below; until then a failure is told by the writing itself.
  answered.catch(() => {})
  for (let offset = 0; offset < bytes.length; offset += PIECE_BYTES) {
    // A refusal may come before the body is through, and ends the wait.
    if (!upload.write(bytes.subarray(offset, offset + PIECE_BYTES))) await Promise.race([once(upload, 'drain'), answered])
  }
  upload.end()
  await answered
}

async function readAnswer(answer: IncomingMessage): Promise<void> {
  let text = ''
  for await (const piece of answer.setEncoding('utf8')) text += piece
  const status = answer.statusCode as number
  if (status !== 200 && status !== 201) throw new Error(`upload: status ${status}: ${text.slice(0, 500)}`)
}
