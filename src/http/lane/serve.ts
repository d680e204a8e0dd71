import { assert } from '../../core/assert.ts'
import type { ResponseBuffer } from '../../lookup/buffers.ts'
import { decodeIndices } from '../../lookup/decode.ts'
import { answerShape, MEDIA_TYPES } from '../../lookup/encode.ts'
import { type PlannedLookup, prepareLookup, runLookup } from '../../lookup/lookup.ts'
import type { TableEntry } from '../../tables/registry.ts'
import { planDispatch } from '../../workers/dispatch.ts'
import type { FrontContext } from '../context.ts'
import { LookupQuery, type LookupQueryInput } from '../schemas/lookup.ts'
import { compileQueryChecker } from '../validate.ts'
import { createAnswerHead } from './answer-head.ts'
import { LANE_BODY_BYTES_MAX, type LaneHead } from './read-head.ts'

/** Larger answers are written in pieces, or gathered elsewhere: that is not for here. */
const LANE_ANSWER_BYTES_MAX = 1024 * 1024

const checkQuery = compileQueryChecker(LookupQuery)

/**
 * What a head asks of each state of its table: prepared once, run for every body that comes under the same head. A table that is gone
 * takes what was prepared for it along.
 */
export type Repeats = WeakMap<TableEntry, PlannedLookup | null>

/** Answers lookups of raw ids: head and rows in one buffer, or null for everything that is not simply a 200. */
export type Serve = (head: LaneHead, repeats: Repeats, bytes: Buffer, bodyAt: number) => ResponseBuffer | null

/** The {@link Serve} of a front. It checks, plans and gathers by the functions of the route in routes/lookup.ts. */
export const createServe = ({ registry, lookups, health }: FrontContext): Serve => {
  // Ids of any body, aligned. A lookup is over before the next one begins.
  const ids = Buffer.from(new ArrayBuffer(LANE_BODY_BYTES_MAX))
  const prepare = (head: LaneHead, entry: TableEntry): PlannedLookup | null => {
    const { shape, index_dtype, version: number, ...options } = checkQuery(Object.fromEntries(head.query)) as LookupQueryInput
    const version = registry.resolve(entry, number)
    const arrays = decodeIndices('raw', ids.subarray(0, head.bodyBytes), { shape, index_dtype })
    const planned = prepareLookup(entry, version, { ...arrays, options }, 'raw')
    const { plan, adapter } = planned
    const { inline } = planDispatch(plan.count, version.rowBytes, lookups.pool?.threadCount ?? 0)
    if (adapter !== null || plan.bags !== null || !inline || plan.answerBytes > LANE_ANSWER_BYTES_MAX) return null
    const writeHead = createAnswerHead({
      mediaType: MEDIA_TYPES.raw,
      version: version.handle.version,
      shape: answerShape('raw', plan.elementType, plan.shape),
      elementType: plan.elementType,
      bodyBytes: plan.answerBytes,
    })
    return { ...planned, writeHead }
  }
  return (head, repeats, bytes, bodyAt) => {
    if (health.state !== 'ready') return null
    const entry = registry.get(head.table)
    if (entry === undefined) return null
    // Whatever goes wrong here goes wrong again in the route, which says so in the words of a route.
    try {
      let planned = repeats.get(entry)
      if (planned === undefined) {
        planned = prepare(head, entry)
        repeats.set(entry, planned)
      }
      if (planned === null) return null
      bytes.copy(ids, 0, bodyAt, bodyAt + head.bodyBytes)
      const answer = runLookup(lookups, planned)
      assert(!(answer instanceof Promise), 'a lookup that was planned inline is done at once')
      return answer.body
    } catch {
      return null
    }
  }
}
