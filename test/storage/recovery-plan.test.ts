import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { CatalogSnapshot } from '../../src/storage/catalog-rows.ts'
import type { JournalEvidence, SequenceRange } from '../../src/storage/journal-reader.ts'
import * as recovery from '../../src/storage/recovery-plan.ts'
import {
  makeFolder,
  openSample,
  refusalOf,
  sampleChanges,
  sampleRecord,
  sampleSnapshot,
  sampleTable,
  sampleVersion,
} from './samples.ts'

const { EVIDENCE_STATES, findDecisions, planVersion } = recovery
type State = recovery.EvidenceState

/** Two fuzzy snapshots, 10..15 and 20..25, and updates through 30. */
const OLDER = sampleSnapshot({ id: 2, file: 'older.safetensors', startSequence: 10, endSequence: 15 })
const NEWEST = sampleSnapshot({ id: 3, file: 'newest.safetensors', startSequence: 20, endSequence: 25 })

const planFor = (
  snapshots: readonly [CatalogSnapshot, State][],
  ranges: [number, number][],
  options: { promised?: number; goBack?: boolean } = {},
): recovery.VersionPlan => {
  const journal: JournalEvidence = {
    ranges: ranges.map(([first, last]): SequenceRange => ({ first, last })),
    promised: options.promised ?? ranges.at(-1)?.[1] ?? 0,
  }
  return planVersion(
    {
      table: sampleTable(),
      version: sampleVersion(),
      journal,
      journalFile: 'data/catalog.db',
      snapshotFolder: 'data/snapshots',
      snapshots: snapshots.map(([listed, state]) => ({ listed, state })),
    },
    options.goBack,
  )
}

/** Journals in each state, as seen from a snapshot that starts at `start`. */
const journalsIn: Record<State, (start: number) => [number, number][]> = {
  missing: () => [],
  cut: (start) => [[start + 1, start + 2]],
  damaged: (start) => [
    [start + 1, start + 2],
    [start + 4, 30],
  ],
  valid: (start) => [[start + 1, 30]],
}

const combinations = EVIDENCE_STATES.flatMap((catalog) =>
  EVIDENCE_STATES.flatMap((newest) =>
    EVIDENCE_STATES.flatMap((older) =>
      EVIDENCE_STATES.map((journal) => ({ catalog, newest, older, journal })),
    ),
  ),
)

describe('the table of decisions', () => {
  test('has exactly one row for each of the 256 combinations', () => {
    expect(combinations.length).toBe(256)
    expect(combinations.filter((states) => findDecisions(states).length !== 1)).toEqual([])
  })

  test.each(combinations.filter(({ catalog }) => catalog === 'valid'))(
    'is what is planned: newest $newest, older $older, journal $journal',
    ({ newest, older, journal }) => {
      // Said again in other words than the table's.
      const chosen = newest === 'valid' ? NEWEST : older === 'valid' ? OLDER : null
      const plan = planFor(
        [
          [OLDER, older],
          [NEWEST, newest],
        ],
        journalsIn[journal](chosen?.startSequence ?? 10),
        { promised: 30 },
      )
      if (chosen !== null && journal === 'valid') {
        expect(plan).toMatchObject({
          kind: 'load',
          snapshot: chosen,
          replay: { first: chosen.startSequence + 1, last: 30 },
          discard: false,
        })
        expect((plan as recovery.LoadPlan).warnings.length).toBe(chosen === OLDER ? 1 : 0)
      } else if (newest === 'valid')
        expect(plan).toMatchObject({ kind: 'refuse', code: 'JournalGap', file: 'data/catalog.db' })
      else {
        const code = newest === 'missing' ? 'MissingFile' : 'DamagedSnapshot'
        expect(plan).toMatchObject({ kind: 'refuse', code, file: 'data/snapshots/newest.safetensors' })
      }
    },
  )

  test.each(combinations.filter(({ catalog }) => catalog !== 'valid'))(
    'is what opening does: catalog $catalog, newest $newest, older $older, journal $journal',
    ({ catalog, newest, older, journal }) => {
      const directory = makeDirectory({ catalog, newest, older, journal })
      const refusal = refusalOf(() => openSample(directory))
      const isEmpty = catalog === 'missing' && [newest, older, journal].every((state) => state === 'missing')
      if (isEmpty) expect(refusal).toBe(null)
      else expect(refusal).toBe(catalog === 'missing' ? 'MissingFile' : 'DamagedCatalog')
    },
  )
})

/** The databases of a store that holds something, written once. */
let template: { catalog: Buffer; os: Buffer } | null = null
const makeTemplate = () => {
  const store = openSample(makeFolder())
  store.commit({ changes: sampleChanges() })
  store.commitOs({ records: [sampleRecord(1, { durability: 'os' })] })
  store.close()
  return { catalog: readFileSync(store.paths.catalog), os: readFileSync(store.paths.os) }
}

/** A directory in which these files are in these states; what `os.db` holds stands for the journal. */
const makeDirectory = (states: Record<'catalog' | 'newest' | 'older' | 'journal', State>): string => {
  const directory = makeFolder()
  template ??= makeTemplate()
  mkdirSync(join(directory, 'snapshots'))
  writeFileSync(join(directory, 'catalog.db'), template.catalog)
  writeFileSync(join(directory, 'os.db'), template.os)
  const put = (name: string, state: State): void => {
    const path = join(directory, name)
    if (state === 'missing') rmSync(path, { force: true })
    else if (state === 'cut') writeFileSync(path, 'cut')
    else if (state === 'damaged') writeFileSync(path, Buffer.alloc(8192, 7))
    else if (!name.endsWith('.db')) writeFileSync(path, 'whole, as far as anybody looks')
  }
  put('catalog.db', states.catalog)
  put('snapshots/newest.safetensors', states.newest)
  put('snapshots/older.safetensors', states.older)
  put('os.db', states.journal)
  return directory
}

describe('a plan', () => {
  test('needs no journal for a snapshot that no update touched', () => {
    const quiet = sampleSnapshot({ startSequence: 0, endSequence: 0 })
    expect(planFor([[quiet, 'valid']], [])).toMatchObject({
      kind: 'load',
      snapshot: quiet,
      replay: { first: 1, last: 0 },
      discard: false,
    })
  })

  test('needs the journal through the end of a snapshot, and through all that was promised', () => {
    expect(planFor([[NEWEST, 'valid']], [[21, 24]])).toMatchObject({ kind: 'refuse' })
    expect(planFor([[NEWEST, 'valid']], [[21, 25]])).toMatchObject({ kind: 'load', replay: { last: 25 } })
    expect(
      planFor(
        [[NEWEST, 'valid']],
        [
          [21, 25],
          [27, 27],
        ],
      ),
    ).toMatchObject({ kind: 'refuse', detail: expect.stringContaining('ends at sequence 25') })
  })

  test('does not mind damage before the start of the snapshot that it loads', () => {
    expect(
      planFor(
        [
          [OLDER, 'valid'],
          [NEWEST, 'valid'],
        ],
        [
          [11, 13],
          [17, 30],
        ],
      ),
    ).toMatchObject({ kind: 'load', snapshot: NEWEST })
    expect(
      planFor(
        [
          [OLDER, 'valid'],
          [NEWEST, 'damaged'],
        ],
        [
          [11, 13],
          [17, 30],
        ],
      ),
    ).toMatchObject({ kind: 'refuse' })
  })

  test('of a table of mode none goes back to its last snapshot, and gives up what was journaled for one that never was listed', () => {
    const plan = planFor(
      [[OLDER, 'valid']],
      [
        [11, 15],
        [21, 23],
      ],
      { promised: 0 },
    )
    expect(plan).toMatchObject({
      kind: 'load',
      snapshot: OLDER,
      replay: { first: 11, last: 15 },
      discard: true,
      warnings: [],
    })
  })

  test('of a table of mode none does not go further back than its last snapshot unasked', () => {
    expect(
      planFor(
        [
          [OLDER, 'valid'],
          [NEWEST, 'damaged'],
        ],
        [[11, 15]],
        { promised: 0 },
      ),
    ).toMatchObject({ kind: 'refuse', code: 'DamagedSnapshot' })
  })

  test('is a refusal when nothing is listed', () => {
    expect(planFor([], [[1, 5]])).toMatchObject({ kind: 'refuse', code: 'MissingFile' })
  })

  test('takes the newest of many, and the next newest that is valid', () => {
    const many = [1, 2, 3].map((id) => sampleSnapshot({ id, startSequence: id * 10, endSequence: id * 10 }))
    expect(
      planFor(
        [
          [many[0], 'valid'],
          [many[2], 'damaged'],
          [many[1], 'cut'],
        ],
        [[11, 40]],
      ),
    ).toMatchObject({ kind: 'load', snapshot: many[0] })
    expect(
      planFor(
        [
          [many[0], 'valid'],
          [many[2], 'damaged'],
          [many[1], 'valid'],
        ],
        [[11, 40]],
      ),
    ).toMatchObject({ kind: 'load', snapshot: many[1] })
  })

  test('says in one line what is wrong, where, and what to do', () => {
    const plan = planFor(
      [
        [OLDER, 'missing'],
        [NEWEST, 'damaged'],
      ],
      [[11, 30]],
    ) as recovery.RefusePlan
    expect(recovery.describeRefusal(plan)).toBe(
      'data/snapshots/newest.safetensors: the snapshot of table "user", version 1 is damaged, and no older one can be brought up to sequence 25; ' +
        'restore the file, or start once with --recover=before-damage to go back to an older state',
    )
  })
})

describe('pruning', () => {
  test('stops at the start of the oldest snapshot that is kept', () => {
    expect(recovery.prunableThrough([NEWEST, OLDER])).toBe(10)
    expect(recovery.prunableThrough([NEWEST])).toBe(20)
    expect(recovery.prunableThrough([])).toBe(0)
  })

  test('finds journals of versions that are gone', () => {
    const streams = [
      { tableId: 1, version: 1 },
      { tableId: 1, version: 2 },
      { tableId: 2, version: 1 },
    ]
    expect(recovery.findOrphans({ versions: [sampleVersion({ version: 2 })] }, streams)).toEqual([
      streams[0],
      streams[2],
    ])
  })
})
