/** Answers lookups on the fast path. It checks, plans and gathers by the functions of routes/lookup.ts. */
import { assert } from '../../core/assert.ts'
import type { ResponseBuffer } from '../../lookup/buffers.ts'
import { decodeIndices, indexHeaders } from '../../lookup/decode.ts'
import { answerShape, arrayHeaders, MEDIA_TYPES } from '../../lookup/encode.ts'
import { type PlannedLookup, prepareLookup, runLookup } from '../../lookup/lookup.ts'
import type { TableEntry } from '../../tables/registry.ts'
import { planDispatch } from '../../workers/dispatch.ts'
import type { HttpContext } from '../context.ts'
import { readJsonLookup } from '../body/lookup-body.ts'
import { LookupQuery, type LookupQueryInput } from '../schemas/lookup.ts'
import { compileQueryChecker } from '../validate.ts'
import { type AnswerHead, createAnswerHead, createHttpDate } from './answer-head.ts'
import { FAST_PATH_LOOKUP_BYTES_MAX, type FastPathHead } from './read-head.ts'

/** Larger answers are left to Fastify's route, which streams them or has compute workers gather them. */
const FAST_PATH_ANSWER_BYTES_MAX = 1024 * 1024

const checkQuery = compileQueryChecker(LookupQuery)

/**
 * The prepared work of a head for one state of its table: all of it for raw ids, the head of the answer for
 * JSON.
 */
interface Prepared {
  planned: PlannedLookup | null
  writeHead: AnswerHead
  query: LookupQueryInput
}

/**
 * The prepared work of a head by state of its table: prepared once, run for every body under the same head.
 * When a table is removed, the garbage collector removes its work too. null: the head is not for the fast
 * path.
 */
export type PreparedByTable = WeakMap<TableEntry, Prepared | null>

/** Answers a lookup with head and body in one buffer. null: Fastify must answer. */
export type ServeLookup = (
  head: FastPathHead,
  prepared: PreparedByTable,
  body: Buffer,
) => ResponseBuffer | null

/** Makes the {@link ServeLookup} of an HTTP worker. */
export const createServeLookup = ({ registry, lookups, settings }: HttpContext): ServeLookup => {
  // Aligned memory for the ids of any body. Lookups share it, because each ends before the next one begins.
  const ids = Buffer.from(new ArrayBuffer(FAST_PATH_LOOKUP_BYTES_MAX))
  const threadCount = lookups.pool?.threadCount ?? 0
  const constants = { httpDate: createHttpDate(), keepAliveMs: settings.keepAliveMs }

  /** Whether this thread makes the answer, at once. */
  const isInline = ({ plan, adapter, reader }: PlannedLookup): boolean =>
    adapter === null &&
    plan.bags === null &&
    planDispatch(plan.count, reader.rowBytes, threadCount).inline &&
    plan.answerBytes <= FAST_PATH_ANSWER_BYTES_MAX

  const prepare = (head: FastPathHead, entry: TableEntry): Prepared | null => {
    const query = checkQuery(Object.fromEntries(head.query)) as LookupQueryInput
    const reader = registry.resolve(entry, query.version)
    const type = { 'content-type': MEDIA_TYPES[head.answer], 'cache-control': 'no-store' }
    if (head.format === 'json') {
      // The head of a binary answer contains its shape, which depends on the body.
      return head.answer === 'json'
        ? { planned: null, writeHead: createAnswerHead(constants, reader.handle.version, type), query }
        : null
    }
    const { shape, index_dtype, version: _version, ...options } = query
    const arrays = decodeIndices(head.format, ids.subarray(0, head.bodyBytes), { shape, index_dtype })
    const planned = prepareLookup(entry, reader, { ...arrays, options }, head.answer)
    if (!isInline(planned)) return null
    const { elementType } = planned.plan
    const described =
      head.answer === 'json'
        ? {}
        : arrayHeaders({ shape: answerShape(head.answer, elementType, planned.plan.shape), elementType })
    const writeHead = createAnswerHead(
      constants,
      reader.handle.version,
      { ...described, ...type },
      indexHeaders(head.format, query),
    )
    return { planned: { ...planned, writeHead }, writeHead, query }
  }

  const planBody = (
    entry: TableEntry,
    { query, writeHead }: Prepared,
    body: Buffer,
  ): PlannedLookup | null => {
    const { version: number, ...request } = readJsonLookup(body, query)
    if (number !== query.version) return null
    const planned = prepareLookup(entry, registry.resolve(entry, number), request, 'json')
    return isInline(planned) ? { ...planned, writeHead } : null
  }

  return (head, preparedByTable, body) => {
    const entry = registry.get(head.table)
    if (entry === undefined) return null
    let prepared = preparedByTable.get(entry)
    if (prepared === undefined) {
      prepared = prepare(head, entry)
      preparedByTable.set(entry, prepared)
    }
    if (prepared === null) return null
    if (prepared.planned !== null) body.copy(ids)
    const planned = prepared.planned ?? planBody(entry, prepared, body)
    if (planned === null) return null
    const answer = runLookup(lookups, planned)
    assert(!(answer instanceof Promise), 'a lookup that was planned inline is done at once')
    return answer.body
  }
}
