import { leaveToCollector, type ResponseBuffer } from '../../lookup/buffers.ts'
import { MEDIA_TYPES } from '../../lookup/encode.ts'
import { planUpdate } from '../../update/plan.ts'
import type { HttpContext } from '../context.ts'
import { GradientsQuery, RowsUpdateQuery } from '../schemas/updates.ts'
import { answerUpdate, readUpdate, type UpdateQuery } from '../../update/decode.ts'
import { compileQueryChecker } from '../validate.ts'
import { type AnswerHead, createAnswerHead } from './answer-head.ts'
import type { ReservedBody } from './arriving-body.ts'
import type { FastPathHead } from './read-head.ts'

const HEADERS = { 'cache-control': 'no-store', 'content-type': MEDIA_TYPES.json }

const CHECK_QUERY = {
  gradients: compileQueryChecker(GradientsQuery),
  rows: compileQueryChecker(RowsUpdateQuery),
}

/**
 * Does an update whose body lies in the arena of the HTTP worker. null: nothing was done, for a reason that
 * the route finds again, and says. It decodes, checks and submits by the functions of the route in
 * routes/updates.ts.
 */
export type ServeUpdate = (head: FastPathHead, body: Buffer) => Promise<ResponseBuffer | null> | null

/** The {@link ServeUpdate} of an HTTP worker. */
export const createServeUpdate = ({ registry, writer, lookups: { arena } }: HttpContext): ServeUpdate => {
  let latest: { version: number; writeHead: AnswerHead } | undefined
  const headOf = (version: number): AnswerHead => {
    if (latest?.version !== version) latest = { version, writeHead: createAnswerHead(version, HEADERS) }
    return latest.writeHead
  }
  return (head, body) => {
    const entry = registry.get(head.table)
    if (entry === undefined || head.route === 'lookup') return null
    const query = CHECK_QUERY[head.route](Object.fromEntries(head.query)) as UpdateQuery
    const { arrays, ...how } = readUpdate(head.route, head.format, body, query)
    const { call, region } = planUpdate(entry, arrays, { ...how, precondition: {} }, arena)
    return writer.call('update', call).then(
      (result) => {
        arena.release(region)
        const text = JSON.stringify(answerUpdate(entry.record.name, result))
        const bytes = Buffer.concat([
          headOf(result.version)(result.sequence, Buffer.byteLength(text)),
          Buffer.from(text),
        ])
        return { bytes, release: leaveToCollector }
      },
      () => {
        arena.release(region)
        return null
      },
    )
  }
}

/** Memory for the body of an update, where the writer can read it. null: too much is in flight. */
export const reserveUpdate = (
  { lookups: { updateBodies } }: HttpContext,
  { bodyBytes }: FastPathHead,
): ReservedBody | null => {
  try {
    const region = updateBodies.reserve(bodyBytes)
    return {
      bytes: Buffer.from(updateBodies.arena.memory.buffer, region.at, bodyBytes),
      release: () => updateBodies.release(region),
    }
  } catch {
    return null
  }
}
