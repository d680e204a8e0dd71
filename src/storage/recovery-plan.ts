import { assert } from '../core/assert.ts'
import type { CatalogImage, CatalogSnapshot, CatalogTable, CatalogVersion } from './catalog-rows.ts'
import type { JournalEvidence, SequenceRange } from './journal-reader.ts'
import { REFUSALS, type RefusalCode } from './refusals.ts'

/*
 * What to load of each version, and what to write over it. Pure: evidence in, decisions out. With a catalog that was read whole
 * (without one there is no start, see open-store.ts), for each version:
 *
 *     newest snapshot    older snapshot     journal after it                   decision
 *     valid              any                valid                              newest + journal
 *     valid              any                missing, cut, damaged              refuse: the journal
 *     not valid          valid              valid, after the older one         older + journal, and say so
 *     not valid          valid              missing, cut, damaged              refuse: the newest snapshot
 *     not valid          not valid          any                                refuse: the newest snapshot
 *
 * `valid` journal: every record from the snapshot's start through all that was promised. An older snapshot needs all the
 * records of the newest one and more, so it never helps against damage in the journal.
 * `DECISIONS` is the same table as data; the test walks every combination through it.
 */
export const EVIDENCE_STATES = ['missing', 'cut', 'damaged', 'valid'] as const
export type EvidenceState = (typeof EVIDENCE_STATES)[number]
/** What is to be done for a version, or for the whole directory (`create`, `refuse-catalog`). */
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

/** The rows of {@link DECISIONS} that fit. */
export const findDecisions = (states: EvidenceStates): Decision[] => {
  const parts = ['catalog', 'newest', 'older', 'journal'] as const
  return DECISIONS.filter((row) => parts.every((part) => row[part].includes(states[part]))).map(
    ({ decision }) => decision,
  )
}

/** What is to be done. */
export const decide = (states: EvidenceStates): Decision => {
  const [decision, ...others] = findDecisions(states)
  assert(decision !== undefined && others.length === 0, 'the table of decisions has one row for each case')
  return decision
}

/** A listed snapshot and what is known of its file. `valid` until reading it shows otherwise; then plan again. */
export interface SnapshotEvidence {
  listed: CatalogSnapshot
  state: EvidenceState
}

export interface VersionEvidence {
  table: CatalogTable
  version: CatalogVersion
  /** In any order. */
  snapshots: readonly SnapshotEvidence[]
  journal: JournalEvidence
  /** The files that refusals name. */
  journalFile: string
  snapshotFolder: string
}

export interface LoadPlan {
  kind: 'load'
  snapshot: CatalogSnapshot
  /** Records of these sequences are written over the snapshot; first > last: none. */
  replay: SequenceRange
  /** Records after the replayed ones belong to a state that is given up, and must be discarded before the next update. */
  discard: boolean
  /** What people should know; empty when all is as it should be. */
  warnings: string[]
}

export interface RefusePlan {
  kind: 'refuse'
  code: RefusalCode
  file: string
  detail: string
}

export type VersionPlan = LoadPlan | RefusePlan

/**
 * Decides for one version. `goBackBeforeDamage` (the explicit point-in-time setting) takes the state with the highest sequence
 * that can be had instead of refusing, and says what is lost; it refuses only when no snapshot can be made whole.
 */
export const planVersion = (evidence: VersionEvidence, goBackBeforeDamage = false): VersionPlan => {
  const newestFirst = [...evidence.snapshots].sort(
    (a, b) => b.listed.startSequence - a.listed.startSequence || b.listed.id - a.listed.id,
  )
  const target = promisedSequence(evidence)
  const [newest, ...others] = newestFirst
  const older = others.find(({ state }) => state === 'valid') ?? others[0]
  const chosen = newestFirst.find(({ state }) => state === 'valid')
  const decision = decide({
    catalog: 'valid',
    newest: newest?.state ?? 'missing',
    older: older?.state ?? 'missing',
    journal: chosen === undefined ? 'missing' : classifyJournal(chosen.listed, evidence.journal, target),
  })
  if (decision === 'newest') return loadFrom(evidence, newest.listed, target, [])
  if (decision === 'older')
    return loadFrom(evidence, older.listed, target, [describeFallback(evidence, newest, older)])
  const refusal =
    decision === 'refuse-journal'
      ? refuseJournal(evidence, newest.listed, target)
      : refuseSnapshots(evidence, newest)
  return goBackBeforeDamage ? planBefore(evidence, newestFirst, target, refusal) : refusal
}

/** The sequence below which nothing may be lost: what was answered as durable, and what a snapshot already held. */
const promisedSequence = ({ snapshots, journal }: VersionEvidence): number =>
  Math.max(journal.promised, ...snapshots.map(({ listed }) => listed.endSequence))

/** The last sequence that can be replayed over a snapshot without a gap. */
const reach = (snapshot: CatalogSnapshot, journal: JournalEvidence): number =>
  journal.ranges.find(
    ({ first, last }) => first <= snapshot.startSequence + 1 && last > snapshot.startSequence,
  )?.last ?? snapshot.startSequence

/** What the journal is worth for a snapshot: whether it holds all of `startSequence + 1`..`target`. */
export const classifyJournal = (
  snapshot: CatalogSnapshot,
  journal: JournalEvidence,
  target: number,
): EvidenceState => {
  const reached = reach(snapshot, journal)
  if (reached >= target) return 'valid'
  const after = journal.ranges.filter(({ last }) => last > reached && last > snapshot.startSequence)
  if (after.length > 0) return 'damaged'
  return reached > snapshot.startSequence ? 'cut' : 'missing'
}

/** Also replays what lies after `target` without a gap: records that were not promised, but are there. */
const loadFrom = (
  evidence: VersionEvidence,
  snapshot: CatalogSnapshot,
  target: number,
  warnings: string[],
): LoadPlan => {
  const last = reach(snapshot, evidence.journal)
  assert(last >= target, 'everything promised is replayed')
  const discard = evidence.journal.ranges.some((range) => range.last > last)
  return { kind: 'load', snapshot, replay: { first: snapshot.startSequence + 1, last }, discard, warnings }
}

/** The snapshot with the highest sequence within reach, among those that the journal makes whole. */
const planBefore = (
  evidence: VersionEvidence,
  newestFirst: readonly SnapshotEvidence[],
  target: number,
  refusal: RefusePlan,
): VersionPlan => {
  const whole = newestFirst
    .filter(({ listed, state }) => state === 'valid' && reach(listed, evidence.journal) >= listed.endSequence)
    .map(({ listed }) => ({ listed, reached: reach(listed, evidence.journal) }))
  const best = whole.toSorted((a, b) => b.reached - a.reached)[0]
  if (best === undefined) return refusal
  const lost = `${nameVersion(evidence)} goes back to sequence ${best.reached}: sequences ${best.reached + 1} to ${target} are lost`
  return loadFrom(evidence, best.listed, best.reached, [`${refusal.file}: ${refusal.detail}`, lost])
}

const nameVersion = ({ table, version }: VersionEvidence): string =>
  `table ${JSON.stringify(table.name)}, version ${version.version}`

const describeFallback = (
  evidence: VersionEvidence,
  newest: SnapshotEvidence,
  chosen: SnapshotEvidence,
): string =>
  `${snapshotPath(evidence, newest.listed)}: the snapshot is ${newest.state}; ${nameVersion(evidence)} is loaded from the one before, ` +
  `${chosen.listed.file}, and the journal: nothing is lost`

const refuseJournal = (evidence: VersionEvidence, snapshot: CatalogSnapshot, target: number): RefusePlan => {
  const reached = reach(snapshot, evidence.journal)
  return {
    kind: 'refuse',
    code: 'JournalGap',
    file: evidence.journalFile,
    detail: `the journal of ${nameVersion(evidence)} ends at sequence ${reached}, there were updates through ${target}`,
  }
}

const refuseSnapshots = (evidence: VersionEvidence, newest: SnapshotEvidence | undefined): RefusePlan => {
  if (newest === undefined) {
    return {
      kind: 'refuse',
      code: 'MissingFile',
      file: evidence.snapshotFolder,
      detail: `no snapshot of ${nameVersion(evidence)} is listed`,
    }
  }
  return {
    kind: 'refuse',
    code: newest.state === 'missing' ? 'MissingFile' : 'DamagedSnapshot',
    file: snapshotPath(evidence, newest.listed),
    detail: `the snapshot of ${nameVersion(evidence)} is ${newest.state}, and no older one can be brought up to sequence ${newest.listed.endSequence}`,
  }
}

const snapshotPath = (evidence: VersionEvidence, { file }: CatalogSnapshot): string =>
  `${evidence.snapshotFolder}/${file}`

/** The line for people about a refusal. */
export const describeRefusal = ({ code, file, detail }: RefusePlan): string =>
  `${file}: ${detail}; ${REFUSALS[code].remedy}`

/**
 * Through which sequence a version's records may be removed while `kept` are its snapshots: the start of the oldest. 0: none.
 * Not its end: what the file holds of the updates between is only made whole by their records.
 */
export const prunableThrough = (kept: readonly CatalogSnapshot[]): number =>
  kept.length === 0 ? 0 : Math.min(...kept.map(({ startSequence }) => startSequence))

/** Journals of versions that the catalog does not list any more: all their records may go. */
export const findOrphans = (
  image: Pick<CatalogImage, 'versions'>,
  streams: readonly { tableId: number; version: number }[],
): { tableId: number; version: number }[] => {
  const listed = new Set(image.versions.map(({ tableId, version }) => `${tableId}/${version}`))
  return streams
    .filter(({ tableId, version }) => !listed.has(`${tableId}/${version}`))
    .map(({ tableId, version }) => ({ tableId, version }))
}
