/** Entity tags of a table, and the conditional request headers that compare them (RFC 9110). */
import { refuse } from '../core/errors.ts'
import type { Precondition } from '../core/types.ts'

/** The state that conditions are evaluated against, or undefined if the table does not exist. */
export type CurrentState = { version: number; sequence: number } | undefined

/** Returns the strong entity tag of a state, without quotes. */
export const entityTag = (version: number, sequence: number): string => `${version}-${sequence}`

/**
 * Evaluates `If-Match` and `If-None-Match` (RFC 9110) against the current state. `If-Match` also accepts
 * `"<version>"`, which matches any sequence of that version. Refuses PRECONDITION_FAILED.
 */
export const checkPrecondition = (precondition: Precondition, current: CurrentState): void => {
  const { ifMatch, ifNoneMatch } = precondition
  const tag = current && entityTag(current.version, current.sequence)
  const isCurrent = (wanted: string) =>
    current !== undefined && (wanted === '*' || wanted === tag || wanted === String(current.version))
  if (ifMatch !== undefined && !ifMatch.some(isCurrent)) {
    refuse(
      'PRECONDITION_FAILED',
      tag === undefined ? 'If-Match: the table does not exist' : `If-Match: the table is at "${tag}"`,
    )
  }
  if (
    ifNoneMatch !== undefined &&
    current !== undefined &&
    ifNoneMatch.some((wanted) => wanted === '*' || wanted === tag)
  ) {
    refuse('PRECONDITION_FAILED', `If-None-Match: the table is at "${tag}"`)
  }
}
