import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { CatalogSnapshot } from '../../src/storage/catalog-rows.ts'
import { EVIDENCE_STATES, type EvidenceState as State } from '../../src/storage/recovery-decisions.ts'
import * as recovery from '../../src/storage/recovery-plan.ts'
import { NEWEST, OLDER, planFor } from './plan-for.ts'
import { sampleSnapshot } from './samples.ts'

describe('Recovery that may go back before damage', () => {
  const goBack = (snapshots: [CatalogSnapshot, State][], ranges: [number, number][]) =>
    planFor(snapshots, ranges, { promised: 30, goBack: true })

  test('takes the highest sequence that can be restored, and reports the loss', () => {
    const plan = goBack(
      [
        [OLDER, 'valid'],
        [NEWEST, 'damaged'],
      ],
      [
        [11, 18],
        [20, 30],
      ],
    )
    expect(plan).toMatchObject({
      kind: 'load',
      snapshot: OLDER,
      replay: { first: 11, last: 18 },
      discard: true,
    })
    expect((plan as recovery.LoadPlan).warnings.at(-1)).toBe(
      'table "user", version 1 goes back to sequence 18: sequences 19 to 30 are lost',
    )
  })

  test('never takes a snapshot whose later updates are missing in the journal', () => {
    expect(
      goBack(
        [
          [OLDER, 'valid'],
          [NEWEST, 'valid'],
        ],
        [[11, 23]],
      ),
    ).toMatchObject({ kind: 'load', snapshot: OLDER, replay: { last: 23 } })
    expect(
      goBack(
        [
          [OLDER, 'damaged'],
          [NEWEST, 'valid'],
        ],
        [[11, 23]],
      ),
    ).toMatchObject({ kind: 'refuse' })
  })

  test('plans the same as without permission when nothing is damaged', () => {
    expect(
      goBack(
        [
          [OLDER, 'valid'],
          [NEWEST, 'valid'],
        ],
        [[11, 30]],
      ),
    ).toEqual(
      planFor(
        [
          [OLDER, 'valid'],
          [NEWEST, 'valid'],
        ],
        [[11, 30]],
      ),
    )
  })
})

test('A plan without permission never loses an update, whatever files are damaged', () => {
  const arbitrary = fc.record({
    snapshots: fc.array(fc.tuple(fc.nat(20), fc.nat(6), fc.constantFrom(...EVIDENCE_STATES)), {
      maxLength: 3,
    }),
    present: fc
      .tuple(fc.nat(25), fc.nat(30), fc.nat(30))
      .map(([first, count, hole]) =>
        Array.from({ length: count }, (_, i) => first + i + 1).filter((sequence) => sequence !== hole),
      ),
    promised: fc.nat(30),
  })
  let loadCount = 0
  fc.assert(
    fc.property(arbitrary, ({ snapshots, present, promised }) => {
      const listed = snapshots.map(
        ([start, length, state], i) =>
          [sampleSnapshot({ id: i + 1, startSequence: start, endSequence: start + length }), state] as const,
      )
      const plan = planFor(
        listed.map(([snapshot, state]) => [snapshot, state]),
        toRuns(present),
        { promised },
      )
      if (plan.kind === 'refuse') return
      loadCount++
      const { snapshot, replay } = plan
      expect(listed.find(([found]) => found === snapshot)?.[1]).toBe('valid')
      for (let sequence = replay.first; sequence <= replay.last; sequence++)
        expect(present).toContain(sequence)
      expect(replay.last).toBeGreaterThanOrEqual(
        Math.max(promised, ...listed.map(([found]) => found.endSequence)),
      )
    }),
    { numRuns: 2000 },
  )
  expect(loadCount).toBeGreaterThan(50)
})

const toRuns = (ascending: readonly number[]): [number, number][] => {
  const runs: [number, number][] = []
  for (const sequence of ascending) {
    const run = runs.at(-1)
    if (run !== undefined && run[1] + 1 === sequence) run[1] = sequence
    else runs.push([sequence, sequence])
  }
  return runs
}
