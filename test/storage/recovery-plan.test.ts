import { describe, expect, test } from 'vitest'
import * as recovery from '../../src/storage/recovery-plan.ts'
import { describeRefusal } from '../../src/storage/refusals.ts'
import { NEWEST, OLDER, planFor } from './plan-for.ts'
import { sampleSnapshot, sampleVersion } from './samples.ts'

describe('A recovery plan', () => {
  test('needs no journal for a snapshot that no update followed', () => {
    const quiet = sampleSnapshot({ startSequence: 0, endSequence: 0 })
    expect(planFor([[quiet, 'valid']], [])).toMatchObject({
      kind: 'load',
      snapshot: quiet,
      replay: { first: 1, last: 0 },
      discard: false,
    })
  })

  test('needs the journal through the end of a snapshot and through every acknowledged update', () => {
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

  test('ignores damage before the start of the snapshot that it loads', () => {
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

  test('of a table of mode none uses its last snapshot, and discards records of a snapshot that was never listed', () => {
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

  test('of a table of mode none does not go back beyond its last snapshot without permission', () => {
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

  test('is a refusal when no snapshot is listed', () => {
    expect(planFor([], [[1, 5]])).toMatchObject({ kind: 'refuse', code: 'MissingFile' })
  })

  test('takes the newest snapshot of many, or else the next newest valid one', () => {
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

  test('that refuses says in one line what is wrong, where, and what to do', () => {
    const plan = planFor(
      [
        [OLDER, 'missing'],
        [NEWEST, 'damaged'],
      ],
      [[11, 30]],
    ) as recovery.RefusePlan
    expect(describeRefusal(plan)).toBe(
      'data/snapshots/newest.safetensors: the snapshot of table "user", version 1 is damaged, and no older one can be brought up to sequence 25; ' +
        'restore the file, or start once with --recover=before-damage to go back to an older state',
    )
  })
})

describe('Pruning', () => {
  test('stops at the start of the oldest kept snapshot', () => {
    expect(recovery.prunableThrough([NEWEST, OLDER])).toBe(10)
    expect(recovery.prunableThrough([NEWEST])).toBe(20)
    expect(recovery.prunableThrough([])).toBe(0)
  })

  test('finds journals of versions that no longer exist', () => {
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
