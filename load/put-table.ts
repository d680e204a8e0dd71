/** Sends a table as a client with a matrix does. */
import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { type SourceTable, toBytes } from './rows.ts'
import type { TablePlan } from './scenarios.ts'

const PIECE_BYTES = 1_024 * 1_024

/** PUT of raw numbers in one streamed body; throws when the answer is not 200 or 201. */
export async function putTable(url: string, plan: TablePlan, source: SourceTable): Promise<void> {
  const bytes = toBytes(source.values)
  const query = `rows=${source.rowCount}&dim=${source.dim}&input_dtype=float32&durability=${plan.durability}`
  const headers = { 'content-type': 'application/octet-stream', 'content-length': bytes.length }
  const upload = request(`${url}/v1/tables/${plan.name}?${query}`, { method: 'PUT', headers })
  const answered = once(upload, 'response').then(([answer]) => readAnswer(answer))
  // This promise is awaited below. Until then a failure shows in the writing.
  answered.catch(() => {})
  for (let offset = 0; offset < bytes.length; offset += PIECE_BYTES) {
    // A refusal may come before the body is through, and ends the wait.
    if (!upload.write(bytes.subarray(offset, offset + PIECE_BYTES)))
      await Promise.race([once(upload, 'drain'), answered])
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
