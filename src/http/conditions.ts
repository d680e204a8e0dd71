import { checkPrecondition, entityTag } from '../tables/precondition.ts'
import { type ConditionHeaders, parsePrecondition } from './negotiate.ts'

/**
 * Whether a client that reads has this state already, by its `If-None-Match`: then 304. Refuses PRECONDITION_FAILED when its
 * `If-Match` does not hold.
 */
export const isNotModified = (headers: ConditionHeaders, version: number, sequence: number): boolean => {
  const { ifMatch, ifNoneMatch } = parsePrecondition(headers)
  if (ifMatch !== undefined) checkPrecondition({ ifMatch }, { version, sequence })
  return (
    ifNoneMatch !== undefined &&
    ifNoneMatch.some((tag) => tag === '*' || tag === entityTag(version, sequence))
  )
}
