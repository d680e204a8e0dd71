/**
 * The decision table of recovery: it tells which files of a version are loaded, given the state of each. The
 * same table as data is `DECISIONS`, and its test covers every combination. Without a catalog that was read
 * completely, gatherd does not start (open-store.ts). With one, each version is decided as follows:
 *
 *     newest snapshot    older snapshot     journal after it             decision
 *     valid              any                valid                              newest + journal
 *     valid              any                missing, cut, damaged              refuse: the journal
 *     not valid          valid              valid, after the older one         older + journal, warn
 *     not valid          valid              missing, cut, damaged              refuse: the newest snapshot
 *     not valid          not valid          any                                refuse: the newest snapshot
 *
 * A catalog whose write-ahead log is missing, cut or damaged below its synced watermark counts as damaged. A
 * file that the disk does not read has no state here, because it may be whole: before any decision the start
 * refuses (Unreadable, NotOpened, ReadOnly), also when recovery may go back.
 *
 * A `valid` journal has every record from the snapshot's start through all that was promised. An older
 * snapshot needs all the records of the newest one and more, so it never helps against damage in the journal.
 */
import { assert } from '../core/assert.ts'

export const EVIDENCE_STATES = ['missing', 'cut', 'damaged', 'valid'] as const
export type EvidenceState = (typeof EVIDENCE_STATES)[number]
/** The decision for a version, or for the whole directory (`create`, `refuse-catalog`). */
export type Decision = 'create' | 'refuse-catalog' | 'newest' | 'older' | 'refuse-journal' | 'refuse-snapshot'

interface DecisionRow {
  catalog: readonly EvidenceState[]
  newest: readonly EvidenceState[]
  older: readonly EvidenceState[]
  journal: readonly EvidenceState[]
  decision: Decision
}

const ANY = EVIDENCE_STATES
const NOT_VALID = ['missing', 'cut', 'damaged'] as const
const PRESENT = ['cut', 'damaged', 'valid'] as const

/** One row for every combination. `journal` is judged for the snapshot that would be loaded. */
export const DECISIONS: readonly DecisionRow[] = [
  { catalog: ['missing'], newest: ['missing'], older: ['missing'], journal: ['missing'], decision: 'create' },
  { catalog: ['missing'], newest: PRESENT, older: ANY, journal: ANY, decision: 'refuse-catalog' },
  { catalog: ['missing'], newest: ['missing'], older: PRESENT, journal: ANY, decision: 'refuse-catalog' },
  {
    catalog: ['missing'],
    newest: ['missing'],
    older: ['missing'],
    journal: PRESENT,
    decision: 'refuse-catalog',
  },
  { catalog: ['cut', 'damaged'], newest: ANY, older: ANY, journal: ANY, decision: 'refuse-catalog' },
  { catalog: ['valid'], newest: ['valid'], older: ANY, journal: ['valid'], decision: 'newest' },
  { catalog: ['valid'], newest: ['valid'], older: ANY, journal: NOT_VALID, decision: 'refuse-journal' },
  { catalog: ['valid'], newest: NOT_VALID, older: ['valid'], journal: ['valid'], decision: 'older' },
  {
    catalog: ['valid'],
    newest: NOT_VALID,
    older: ['valid'],
    journal: NOT_VALID,
    decision: 'refuse-snapshot',
  },
  { catalog: ['valid'], newest: NOT_VALID, older: NOT_VALID, journal: ANY, decision: 'refuse-snapshot' },
]

export type EvidenceStates = Record<'catalog' | 'newest' | 'older' | 'journal', EvidenceState>

/** Finds the decisions of all rows of {@link DECISIONS} that fit. */
export const findDecisions = (states: EvidenceStates): Decision[] => {
  const parts = ['catalog', 'newest', 'older', 'journal'] as const
  return DECISIONS.filter((row) => parts.every((part) => row[part].includes(states[part]))).map(
    ({ decision }) => decision,
  )
}

/** Returns the only decision for these states. */
export const decide = (states: EvidenceStates): Decision => {
  const [decision, ...others] = findDecisions(states)
  assert(decision !== undefined && others.length === 0, 'the decision table has one row for each case')
  return decision
}
