/**
 * Plans recovery: which snapshot of a version is loaded, and which journal records are replayed over it. Its
 * functions are pure: they turn evidence into plans.
 */
import { assert } from '../core/assert.ts'
import type { CatalogImage, CatalogSnapshot, CatalogTable, CatalogVersion } from './catalog-rows.ts'
import type { JournalEvidence, SequenceRange } from './journal-reader.ts'
import { decide, type EvidenceState } from './recovery-decisions.ts'
import type { RefusalCode } from './refusals.ts'

/**
 * A listed snapshot and the state of its file. It counts as `valid` until reading it shows otherwise; the
 * version is then planned again.
 */
export interface SnapshotEvidence {
  listed: CatalogSnapshot
  state: EvidenceState
}

export interface VersionEvidence {
  table: CatalogTable
  versionRow: CatalogVersion
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
  /** The sequences of the records that are replayed over the snapshot; none if first > last. */
  replay: SequenceRange
  /** Whether records after the replayed ones are lost, and must be discarded before the next update. */
  discard: boolean
  /** Log lines for people; none if nothing is damaged. */
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
 * Plans one version. With `goBackBeforeDamage` (an explicit setting) it does not refuse but takes the state
 * with the highest sequence that can be reached, and tells which updates are lost; it refuses only if no
 * snapshot can be completed.
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

/**
 * The sequence through which nothing may be lost: that of every update that was answered as durable or is in
 * a snapshot.
 */
const promisedSequence = ({ snapshots, journal }: VersionEvidence): number =>
  Math.max(journal.promised, ...snapshots.map(({ listed }) => listed.endSequence))

/** Finds the last sequence that can be replayed over a snapshot without a gap. */
const reach = (snapshot: CatalogSnapshot, journal: JournalEvidence): number =>
  journal.ranges.find(
    ({ first, last }) => first <= snapshot.startSequence + 1 && last > snapshot.startSequence,
  )?.last ?? snapshot.startSequence

/** The state of the journal for a snapshot: `valid` if it has all of `startSequence + 1`..`target`. */
const classifyJournal = (
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

/**
 * Plans to load a snapshot. Records that follow `target` without a gap are replayed too: no client was told
 * that they are durable, but they exist.
 */
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

/**
 * Plans to load the snapshot from which the highest sequence can be reached, among those that the journal
 * completes.
 */
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
  const lost =
    `${nameVersion(evidence)} goes back to sequence ${best.reached}: ` +
    `sequences ${best.reached + 1} to ${target} are lost`
  return loadFrom(evidence, best.listed, best.reached, [`${refusal.file}: ${refusal.detail}`, lost])
}

const nameVersion = ({ table, versionRow }: VersionEvidence): string =>
  `table ${JSON.stringify(table.name)}, version ${versionRow.version}`

const describeFallback = (
  evidence: VersionEvidence,
  newest: SnapshotEvidence,
  chosen: SnapshotEvidence,
): string =>
  `${snapshotPath(evidence, newest.listed)}: the snapshot is ${newest.state}; ` +
  `${nameVersion(evidence)} is loaded from the one before, ${chosen.listed.file}, and the journal: ` +
  'nothing is lost'

const refuseJournal = (evidence: VersionEvidence, snapshot: CatalogSnapshot, target: number): RefusePlan => {
  const reached = reach(snapshot, evidence.journal)
  return {
    kind: 'refuse',
    code: 'JournalGap',
    file: evidence.journalFile,
    detail:
      `the journal of ${nameVersion(evidence)} ends at sequence ${reached}, ` +
      `there were updates through ${target}`,
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
    detail:
      `the snapshot of ${nameVersion(evidence)} is ${newest.state}, ` +
      `and no older one can be brought up to sequence ${newest.listed.endSequence}`,
  }
}

const snapshotPath = (evidence: VersionEvidence, { file }: CatalogSnapshot): string =>
  `${evidence.snapshotFolder}/${file}`

/**
 * Returns the sequence through which the records of a version may be removed, if `kept` are its snapshots:
 * the start of the oldest, or 0 for none. Its end would be too much: the file may have parts of the updates
 * between, which only their records complete.
 */
export const prunableThrough = (kept: readonly CatalogSnapshot[]): number =>
  kept.length === 0 ? 0 : Math.min(...kept.map(({ startSequence }) => startSequence))

/** Finds the journals of versions that the catalog no longer lists: all their records may be removed. */
export const findOrphans = (
  image: Pick<CatalogImage, 'versions'>,
  streams: readonly { tableId: number; version: number }[],
): { tableId: number; version: number }[] => {
  const listed = new Set(image.versions.map(({ tableId, version }) => `${tableId}/${version}`))
  return streams
    .filter(({ tableId, version }) => !listed.has(`${tableId}/${version}`))
    .map(({ tableId, version }) => ({ tableId, version }))
}
