import { refuse } from '../../core/errors.ts'
import { LIMITS } from '../../core/limits.ts'
import { readJsonObject } from '../../formats/json-reader.ts'
import { fromTensors } from '../../lookup/decode.ts'
import type { LookupRequest } from '../../lookup/request.ts'
import { LOOKUP_TENSORS, LookupMembers } from '../schemas/lookup.ts'
import { compileChecker } from '../validate.ts'

/** Offsets of as many bags as there are ids, and a last one. */
const VALUE_COUNT_MAX = LIMITS.lookupIndexCountMax + 1

const checkMembers = compileChecker(LookupMembers)

/**
 * The lookup of a JSON body and its query, with the version that one of them pins. Refuses INVALID_REQUEST,
 * and as {@link readJsonObject}.
 */
export const readJsonLookup = (
  body: Uint8Array,
  query: Readonly<Record<string, unknown>> & { version?: number },
): LookupRequest & { version?: number } => {
  const stray = Object.keys(query).find((name) => name !== 'version')
  if (stray !== undefined) {
    refuse('INVALID_REQUEST', `?${stray} is for binary bodies; a JSON body has it inside`, {
      errors: [{ pointer: `/${stray}`, detail: 'belongs in the body' }],
    })
  }
  const { members, tensors } = readJsonObject(body, LOOKUP_TENSORS, { valueCountMax: VALUE_COUNT_MAX })
  const { version, ...options } = checkMembers(members)
  return { ...fromTensors(tensors), options, version: query.version ?? version }
}
