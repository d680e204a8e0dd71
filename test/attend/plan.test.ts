import { describe, expect, test } from 'vitest'
import { type AttendOptions, planAttend } from '../../src/attend/plan.ts'
import { LIMITS } from '../../src/core/limits.ts'
import type { Settings } from '../../src/core/types.ts'
import { heapBytes, queryBytes } from '../../src/kernels/attend.ts'
import type { VersionHandle } from '../../src/tables/handles.ts'

const settings: Settings = {
  out_of_range: 'error',
  fill_value: null,
  padding_index: null,
  optimizer: { kind: 'sgd', learning_rate: 0.01 },
  durability: 'disk',
  keep_versions: 2,
}

interface Asked {
  rows?: number
  dim?: number
  shape?: number[]
  options?: AttendOptions
  paddingIndex?: number | null
  threadCount?: number
}
const plan = ({
  rows = 100,
  dim = 3,
  shape = [2, dim],
  options = {},
  paddingIndex = null,
  threadCount = 0,
}: Asked) => {
  const handle: VersionHandle = {
    key: 'k',
    version: 1,
    rows,
    dim,
    dtype: 'float32',
    createdAt: 0,
    segments: [],
  }
  const queries = new Float32Array(shape.reduce((product, length) => product * length, 1))
  return planAttend(
    handle,
    { ...settings, padding_index: paddingIndex },
    { queries, shape, options },
    threadCount,
  )
}
const codeOf = (asked: Asked): unknown => {
  try {
    return plan(asked).shape
  } catch (error) {
    return (error as { code: string }).code
  }
}

describe('The plan of an attend request', () => {
  test('asks for a score of every row, in the shape of the queries, when there is no top_k', () => {
    expect(plan({ shape: [3] })).toMatchObject({
      metric: 'dot',
      queryCount: 1,
      top: null,
      shape: [100],
      scoreCount: 100,
    })
    expect(plan({ shape: [4, 1, 3] }).shape).toEqual([4, 1, 100])
    expect(plan({ shape: [0, 3] })).toMatchObject({ queryCount: 0, shape: [0, 100], scoreCount: 0 })
    expect(plan({ rows: 0 }).shape).toEqual([2, 0])
  })

  test('limits top_k to the number of rows', () => {
    expect(plan({ options: { top_k: 7 } })).toMatchObject({ top: { k: 7, skippedRow: -1 }, shape: [2, 7] })
    expect(plan({ options: { top_k: 101 } }).shape).toEqual([2, 100])
    expect(plan({ options: { top_k: 2 ** 53 } }).shape).toEqual([2, 100])
    expect(plan({ rows: 0, options: { top_k: 5 } }).shape).toEqual([2, 0])
  })

  test('excludes the padding row from the top k, whether its index is positive or negative', () => {
    expect(plan({ options: { top_k: 100 }, paddingIndex: 4 })).toMatchObject({
      top: { k: 99, skippedRow: 4 },
      shape: [2, 99],
    })
    expect(plan({ options: { top_k: 100 }, paddingIndex: -1 }).top).toEqual({ k: 99, skippedRow: 99 })
    expect(plan({ options: { top_k: 100 }, paddingIndex: 100 }).top).toEqual({ k: 100, skippedRow: -1 })
    expect(plan({ options: { top_k: 100 }, paddingIndex: -101 }).top).toEqual({ k: 100, skippedRow: -1 })
    expect(plan({ paddingIndex: 4 }).shape).toEqual([2, 100])
  })

  test('refuses queries whose shape does not match the rows', () => {
    expect(codeOf({ shape: [] })).toBe('SHAPE_MISMATCH')
    expect(codeOf({ shape: [2] })).toBe('SHAPE_MISMATCH')
    expect(codeOf({ shape: [0] })).toBe('SHAPE_MISMATCH')
    expect(codeOf({ shape: [3, 4] })).toBe('SHAPE_MISMATCH')
    expect(codeOf({ shape: [...Array(8).fill(1), 3] })).toEqual([...Array(8).fill(1), 100])
    expect(codeOf({ shape: [...Array(9).fill(1), 3] })).toBe('SHAPE_MISMATCH')
  })

  test('refuses every metric but dot when all scores are asked for', () => {
    expect(codeOf({ options: { metric: 'dot' } })).toEqual([2, 100])
    expect(codeOf({ options: { metric: 'cosine' } })).toBe('INVALID_REQUEST')
    expect(codeOf({ options: { metric: 'l2' } })).toBe('INVALID_REQUEST')
  })

  test('refuses too many queries, too long an answer and too much work', () => {
    expect(codeOf({ shape: [LIMITS.attendQueryCountMax, 3], options: { top_k: 1 } })).toEqual([
      LIMITS.attendQueryCountMax,
      1,
    ])
    expect(codeOf({ shape: [LIMITS.attendQueryCountMax + 1, 3], options: { top_k: 1 } })).toBe(
      'BATCH_TOO_LARGE',
    )
    const scores = LIMITS.lookupResponseBytesMax / 4
    expect(codeOf({ rows: scores, shape: [3] })).toEqual([scores])
    expect(codeOf({ rows: scores + 1, shape: [3] })).toBe('BATCH_TOO_LARGE')
    const found = Math.floor(LIMITS.lookupResponseBytesMax / 12)
    expect(codeOf({ rows: scores, shape: [3], options: { top_k: found } })).toEqual([found])
    expect(codeOf({ rows: scores, shape: [3], options: { top_k: found + 1 } })).toBe('BATCH_TOO_LARGE')
    expect(codeOf({ rows: 2 ** 22, dim: 64, shape: [4096, 64], options: { top_k: 1 } })).toEqual([4096, 1])
    expect(codeOf({ rows: 2 ** 22 + 1, dim: 64, shape: [4096, 64], options: { top_k: 1 } })).toBe(
      'BATCH_TOO_LARGE',
    )
  })

  test('lays out its memory without overlaps, with heaps and scratch memory for each runner', () => {
    const {
      scan,
      queriesAt,
      indicesAt,
      scoresAt,
      scoreCount,
      runnersAt,
      runnerBytes,
      heapsBytes,
      regionBytes,
      queryCount,
    } = plan({
      rows: 1_000_000,
      dim: 65,
      shape: [9, 65],
      options: { top_k: 10 },
      threadCount: 4,
    })
    expect(scan).toMatchObject({ inline: false, runnerCount: 4 })
    expect(indicesAt - queriesAt).toBeGreaterThanOrEqual(queryCount * queryBytes(65))
    expect(scoresAt - indicesAt).toBeGreaterThanOrEqual(scoreCount * 8)
    expect(runnersAt - scoresAt).toBeGreaterThanOrEqual(scoreCount * 4)
    expect(heapsBytes).toBeGreaterThanOrEqual(queryCount * heapBytes(10))
    expect(runnerBytes).toBeGreaterThan(heapsBytes)
    expect(regionBytes).toBe(runnersAt + 4 * runnerBytes)
    for (const place of [indicesAt, scoresAt, runnersAt, runnerBytes, heapsBytes]) expect(place % 64).toBe(0)
  })

  test('uses fewer runners when their heaps would take too much memory', () => {
    const asked = { rows: 4_000_000, shape: [3], threadCount: 8 }
    expect(plan({ ...asked, options: { top_k: 10 } }).scan.runnerCount).toBe(2)
    expect(plan({ ...asked, options: { top_k: 4_000_000 } }).scan.runnerCount).toBe(2)
    expect(
      plan({ ...asked, shape: [1, 3], options: { top_k: 4_500_000 }, rows: 5_000_000 }).scan.runnerCount,
    ).toBe(1)
  })
})
