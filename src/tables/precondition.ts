/**
 * Entity tags of a table, and the conditional request headers that compare them (RFC 9110). Tags are strong,
 * and none names two things: a version, a sequence and a revision are never used again.
 *
 *     <version>-<sequence>                           rows: lookups, updates
 *     <version>-<sequence>-<revision>                the description of the table
 *     <version>-<sequence>.<format>                  the whole table as a file
 *     <version>-<sequence>.<format>+<revision>       the same with the state and settings of the optimizer
 *     ...@<table>                                    any of these when it was read under an alias
 */
import { refuse } from '../core/errors.ts'
import type { Precondition } from '../core/types.ts'

/** The state of a table that conditions are evaluated against. */
export interface TableState {
  name: string
  version: number
  sequence: number
  revision: number
}

/** The state, or undefined if the table does not exist. */
export type CurrentState = TableState | undefined

/** Returns the strong entity tag of rows, without quotes. */
export const entityTag = (version: number, sequence: number): string => `${version}-${sequence}`

/** Returns the strong entity tag of a table's description, without quotes. */
export const infoTag = ({ version, sequence, revision }: Omit<TableState, 'name'>): string =>
  `${version}-${sequence}-${revision}`

/** Returns the strong entity tag of a table as a file, without quotes. */
export const dataTag = (
  { version, sequence, revision }: Omit<TableState, 'name'>,
  format: string,
  withOptimizer: boolean,
): string => `${version}-${sequence}.${format}${withOptimizer ? `+${revision}` : ''}`

/**
 * Returns the tag for what was read under `readName`. An alias may read another table later, so its tags name
 * the table.
 */
export const tagUnder = (readName: string, tableName: string, tag: string): string =>
  readName === tableName ? tag : `${tag}@${tableName}`

const NUMBER = '(0|[1-9][0-9]*)'
const FORM = new RegExp(`^${NUMBER}(?:-${NUMBER}(?:-${NUMBER}|\\.[a-z]+(?:\\+${NUMBER})?)?)?(?:@(.+))?$`)

/** Whether a tag of any form is that of the current state; every part that it has must fit. */
const namesState = (tag: string, { name, version, sequence, revision }: TableState): boolean => {
  const match = FORM.exec(tag)
  if (match === null) return false
  const [, ...parts] = match
  const expected = [String(version), String(sequence), String(revision), String(revision), name]
  return parts.every((part, i) => part === undefined || part === expected[i])
}

/**
 * Evaluates `If-Match` and `If-None-Match` (RFC 9110) against the current state, by tags of any form.
 * `If-Match` also accepts `"<version>"`, which matches any sequence of that version. Refuses
 * PRECONDITION_FAILED.
 */
export const checkPrecondition = (precondition: Precondition, current: CurrentState): void => {
  const { ifMatch, ifNoneMatch } = precondition
  const isCurrent = (wanted: string) =>
    current !== undefined && (wanted === '*' || namesState(wanted, current))
  if (ifMatch !== undefined && !ifMatch.some(isCurrent)) {
    refuse(
      'PRECONDITION_FAILED',
      current === undefined
        ? 'If-Match: the table does not exist'
        : `If-Match: the table is at "${infoTag(current)}" (version, sequence, revision)`,
    )
  }
  if (ifNoneMatch === undefined || current === undefined) return
  const isVersion = (wanted: string): boolean => wanted === String(current.version)
  if (ifNoneMatch.some((wanted) => isCurrent(wanted) && !isVersion(wanted)))
    refuse('PRECONDITION_FAILED', `If-None-Match: the table is at "${infoTag(current)}"`)
}
