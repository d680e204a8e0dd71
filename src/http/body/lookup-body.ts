/** Reads the JSON body of a lookup, for its route and for the fast path. */
import { refuse } from '../../core/errors.ts'
import { LIMITS } from '../../core/limits.ts'
import { readJsonObject } from '../../formats/json-reader.ts'
import { fromTensors } from '../../lookup/decode.ts'
import type { LookupRequest } from '../../lookup/request.ts'
import { LOOKUP_TENSORS, LookupMembers } from '../schemas/lookup.ts'
import { compileChecker } from '../validate.ts'

/**
 * The most numbers in one member: an offset for each of as many bags as ids are allowed, and a last offset.
 */
const VALUE_COUNT_MAX = LIMITS.lookupIndexCountMax + 1

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
  const { members, tensors } = readJsonObject(body, LOOKUP_TENSORS, { valueCountMax: VALUE_COUNT_MAX })
  const { version, ...options } = checkMembers(members)
  return { ...fromTensors(tensors), options, version: query.version ?? version }
}
