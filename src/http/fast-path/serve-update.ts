/** Applies updates on the fast path. It decodes, checks and submits by the functions of routes/updates.ts. */
import { releaseToCollector, type ResponseBuffer } from '../../lookup/buffers.ts'
import { MEDIA_TYPES } from '../../lookup/encode.ts'
import { answerUpdate } from '../../update/encode.ts'
import { planUpdate } from '../../update/plan.ts'
import { submitUpdate } from '../../update/run.ts'
import { readUpdate, type UpdateQuery } from '../body/update-body.ts'
import type { HttpContext } from '../context.ts'
import { GradientsQuery, RowsUpdateQuery } from '../schemas/updates.ts'
import { compileQueryChecker } from '../validate.ts'
import { type AnswerHead, createAnswerHead, createHttpDate } from './answer-head.ts'
import type { ReservedBody } from './arriving-body.ts'
import type { FastPathHead } from './read-head.ts'

const HEADERS = { 'cache-control': 'no-store', 'content-type': MEDIA_TYPES.json }

const CHECK_QUERY = {
  gradients: compileQueryChecker(GradientsQuery),
  rows: compileQueryChecker(RowsUpdateQuery),
}

/**
 * Applies an update whose body lies in the arena of the HTTP worker. null: nothing was applied; the route
 * repeats the request and answers the reason.
 */
export type ServeUpdate = (head: FastPathHead, body: Buffer) => Promise<ResponseBuffer | null> | null

/** Makes the {@link ServeUpdate} of an HTTP worker. */
export const createServeUpdate = (
  { registry, writer, lookups: { arena }, settings, keepUpdateValues }: HttpContext,
  report: (error: unknown) => void,
): ServeUpdate => {
  const constants = { httpDate: createHttpDate(), keepAliveMs: settings.keepAliveMs }
  let latest: { version: number; writeHead: AnswerHead } | undefined
  const headOf = (version: number): AnswerHead => {
    if (latest?.version !== version)
      latest = { version, writeHead: createAnswerHead(constants, version, HEADERS) }
    return latest.writeHead
  }
  return (head, body) => {
    const entry = registry.getTable(head.table)
    if (entry === undefined || head.route === 'lookup') return null
    const query = CHECK_QUERY[head.route](Object.fromEntries(head.query)) as UpdateQuery
    const { arrays, ...options } = readUpdate(head.route, head.format, body, query, keepUpdateValues)
    const message = planUpdate(entry, arrays, { ...options, precondition: {} }, arena)
    return submitUpdate(writer, arena, message).then(
      (result) => {
        const text = JSON.stringify(answerUpdate(entry.record.name, result))
        const bytes = Buffer.concat([
          headOf(result.version)(result.sequence, Buffer.byteLength(text)),
          Buffer.from(text),
        ])
        return { bytes, release: releaseToCollector }
      },
      (error: unknown) => {
        report(error)
        return null
      },
    )
  }
}

/**
 * Reserves memory for the body of an update, where the writer can read it. null: too many bodies are in
 * flight.
 */
export const reserveUpdate = (
  { lookups: { updateBodies } }: HttpContext,
  { bodyBytes }: FastPathHead,
  report: (error: unknown) => void,
): ReservedBody | null => {
  try {
    const region = updateBodies.reserve(bodyBytes)
    return {
      bytes: Buffer.from(updateBodies.arena.memory.buffer, region.at, bodyBytes),
      release: () => updateBodies.release(region),
    }
  } catch (error) {
    report(error)
    return null
  }
}
