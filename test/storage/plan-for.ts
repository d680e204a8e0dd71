/** Builds the inputs of the recovery plan for one version, so that its tests state only what differs. */
import type { CatalogSnapshot } from '../../src/storage/catalog-rows.ts'
import type { JournalEvidence, SequenceRange } from '../../src/storage/journal-reader.ts'
import type { EvidenceState } from '../../src/storage/recovery-decisions.ts'
import { planVersion, type VersionPlan } from '../../src/storage/recovery-plan.ts'
import { sampleSnapshot, sampleTable, sampleVersion } from './samples.ts'

/** Two fuzzy snapshots, of the sequences 10 to 15 and 20 to 25. The tests have updates through 30. */
export const OLDER = sampleSnapshot({ id: 2, file: 'older.safetensors', startSequence: 10, endSequence: 15 })
export const NEWEST = sampleSnapshot({
  id: 3,
  file: 'newest.safetensors',
  startSequence: 20,
  endSequence: 25,
})

/** Returns the plan for a version with these snapshots and these ranges of journal records. */
export const planFor = (
  snapshots: readonly [CatalogSnapshot, EvidenceState][],
  ranges: [number, number][],
  options: { promised?: number; goBack?: boolean } = {},
): VersionPlan => {
  const journal: JournalEvidence = {
    ranges: ranges.map(([first, last]): SequenceRange => ({ first, last })),
    promised: options.promised ?? ranges.at(-1)?.[1] ?? 0,
  }
  return planVersion(
    {
      table: sampleTable(),
      versionRow: sampleVersion(),
      journal,
      journalFile: 'data/catalog.db',
      snapshotFolder: 'data/snapshots',
      snapshots: snapshots.map(([listed, state]) => ({ listed, state })),
    },
    options.goBack,
  )
}
