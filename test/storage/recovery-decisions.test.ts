import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import {
  EVIDENCE_STATES,
  type EvidenceState as State,
  findDecisions,
} from '../../src/storage/recovery-decisions.ts'
import type { LoadPlan } from '../../src/storage/recovery-plan.ts'
import { NEWEST, OLDER, planFor } from './plan-for.ts'
import { makeFolder, openSample, refusalOf, sampleChanges, sampleRecord } from './samples.ts'

/** A journal in each state, relative to a snapshot that starts at `start`. */
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

describe('The decision table of recovery', () => {
  test('has exactly one row for each of the 256 combinations of states', () => {
    expect(combinations.length).toBe(256)
    expect(combinations.filter((states) => findDecisions(states).length !== 1)).toEqual([])
  })

  test.each(combinations.filter(({ catalog }) => catalog === 'valid'))(
    'agrees with the plan for newest $newest, older $older, journal $journal',
    ({ newest, older, journal }) => {
      // The expectation is written independently of the table.
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
        expect((plan as LoadPlan).warnings.length).toBe(chosen === OLDER ? 1 : 0)
      } else if (newest === 'valid')
        expect(plan).toMatchObject({ kind: 'refuse', code: 'JournalGap', file: 'data/catalog.db' })
      else {
        const code = newest === 'missing' ? 'MissingFile' : 'DamagedSnapshot'
        expect(plan).toMatchObject({ kind: 'refuse', code, file: 'data/snapshots/newest.safetensors' })
      }
    },
  )

  test.each(combinations.filter(({ catalog }) => catalog !== 'valid'))(
    'agrees with opening a store: catalog $catalog, newest $newest, older $older, journal $journal',
    ({ catalog, newest, older, journal }) => {
      const directory = makeDirectory({ catalog, newest, older, journal })
      const refusal = refusalOf(() => openSample(directory))
      const isEmpty = catalog === 'missing' && [newest, older, journal].every((state) => state === 'missing')
      if (isEmpty) expect(refusal).toBe(null)
      else expect(refusal).toBe(catalog === 'missing' ? 'MissingFile' : 'DamagedCatalog')
    },
  )
})

/** The databases of a store with contents, written once and copied into each directory. */
let template: { catalog: Buffer; os: Buffer } | null = null
const makeTemplate = () => {
  const store = openSample(makeFolder())
  store.commit({ changes: sampleChanges() })
  store.commitOs({ records: [sampleRecord(1, { durability: 'os' })] })
  store.close()
  return { catalog: readFileSync(store.paths.catalog), os: readFileSync(store.paths.os) }
}

/** Makes a directory whose files have these states. The state of the journal is that of `os.db`. */
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
