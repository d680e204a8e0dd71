/** Reads the JSON body of a lookup, for its route and for the fast path. */
import { refuse } from '../../core/errors.ts'
import { LIMITS } from '../../core/limits.ts'
import { readJsonObject } from '../../formats/json-reader.ts'
import { fromTensors } from '../../lookup/decode.ts'
import type { LookupRequest } from '../../lookup/request.ts'
import { LOOKUP_TENSORS, LookupMembers } from '../schemas/lookup.ts'
import { compileChecker } from '../validate.ts'

const COUNT_MAX = LIMITS.lookupIndexCountMax

/** The most numbers in each member. Only `include_last_offset` allows an offset more than there are bags. */
const VALUE_LIMITS = {
  indices: { countMax: COUNT_MAX, reason: ', the limit of a lookup' },
  weights: { countMax: COUNT_MAX, reason: ', the limit of a lookup' },
  offsets: {
    countMax: COUNT_MAX + 1,
    reason: `; the limit of a lookup is ${COUNT_MAX} bags, and one offset more with include_last_offset`,
  },
}

const checkMembers = compileChecker(LookupMembers, LOOKUP_TENSORS)

/**
 * Reads a lookup from its JSON body and its query, with the version that one of them names. Refuses
 * INVALID_REQUEST, and whatever {@link readJsonObject} refuses.
 */
export const readJsonLookup = (
  body: Uint8Array,
  query: Readonly<Record<string, unknown>> & { version?: number },
): LookupRequest & { version?: number } => {
  const stray = Object.keys(query).find((name) => name !== 'version')
  if (stray !== undefined) {
    refuse('INVALID_REQUEST', `?${stray} is for binary bodies; put it into the JSON body`, {
      errors: [{ pointer: `/${stray}`, detail: 'belongs in the body' }],
    })
  }
  const { members, tensors } = readJsonObject(body, LOOKUP_TENSORS, { valueCountMax: VALUE_LIMITS })
  const { version, ...options } = checkMembers(members)
  return { ...fromTensors(tensors), options, version: chooseVersion(query.version, version) }
}

/** Returns the version that query or JSON body names. Refuses INVALID_REQUEST for two different ones. */
export const chooseVersion = (
  inQuery: number | undefined,
  inBody: number | undefined,
): number | undefined => {
  if (inQuery !== undefined && inBody !== undefined && inQuery !== inBody)
    refuse('INVALID_REQUEST', `the query names version ${inQuery}, the body version ${inBody}: send one`, {
      errors: [{ pointer: '/version', detail: `differs from ?version=${inQuery}` }],
    })
  return inQuery ?? inBody
}
