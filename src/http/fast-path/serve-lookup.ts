import { assert } from '../../core/assert.ts'
import type { ResponseBuffer } from '../../lookup/buffers.ts'
import { decodeIndices } from '../../lookup/decode.ts'
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

/** Larger answers are streamed, or gathered by compute workers, which Fastify's route does. */
const FAST_PATH_ANSWER_BYTES_MAX = 1024 * 1024

const checkQuery = compileQueryChecker(LookupQuery)

/** The work of a head for one state of its table: for raw ids all of it, for JSON the head of the answer. */
interface Prepared {
  planned: PlannedLookup | null
  writeHead: AnswerHead
  query: LookupQueryInput
}

/**
 * The work of a head for each state of its table: prepared once, run for every body that comes under the same
 * head. A table that is gone takes what was prepared for it along. null: it is not for the fast path.
 */
export type PreparedByTable = WeakMap<TableEntry, Prepared | null>

/** Answers lookups: head and body in one buffer. null: Fastify is to answer. */
export type ServeLookup = (
  head: FastPathHead,
  prepared: PreparedByTable,
  body: Buffer,
) => ResponseBuffer | null

/**
 * The {@link ServeLookup} of an HTTP worker. It checks, plans and gathers by the functions of the route in
 * routes/lookup.ts.
 */
export const createServeLookup = ({ registry, lookups }: HttpContext): ServeLookup => {
  // Ids of any body, aligned. A lookup is over before the next one begins.
  const ids = Buffer.from(new ArrayBuffer(FAST_PATH_LOOKUP_BYTES_MAX))
  const threadCount = lookups.pool?.threadCount ?? 0
  const httpDate = createHttpDate()

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
      // The head of an answer in octets states a shape, which depends on the body.
      return head.answer === 'json'
        ? { planned: null, writeHead: createAnswerHead(httpDate, reader.handle.version, type), query }
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
    const writeHead = createAnswerHead(httpDate, reader.handle.version, { ...described, ...type })
    return { planned: { ...planned, writeHead }, writeHead, query }
  }

  const planBody = (
    entry: TableEntry,
    { query, writeHead }: Prepared,
    body: Buffer,
  ): PlannedLookup | null => {
    const { version: number, ...asked } = readJsonLookup(body, query)
    if (number !== query.version) return null
    const planned = prepareLookup(entry, registry.resolve(entry, number), asked, 'json')
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
