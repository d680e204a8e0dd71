import fc from 'fast-check'
import { describe, expect, test, vi } from 'vitest'
import { PROPERTY_RUNS, PROPERTY_TIMEOUT_MS } from '../helpers/property-runs.ts'
import { AssertionFailure } from '../../src/core/assert.ts'
import type { Dtype } from '../../src/core/types.ts'
import {
  type AttendKernels,
  heapBytes,
  instantiateAttendKernels,
  type Metric,
  PACKED_SPARE_BYTES,
  queryBytes,
} from '../../src/kernels/attend.ts'
import { createArenaMemory, createTableMemory } from '../../src/kernels/memories.ts'
import { scoreReference, topReference } from '../../src/kernels/reference/attend.ts'
import { makeReferenceKernels } from '../../src/kernels/reference/table.ts'
import { rowBytes, ROWS_AT, SPARE_BYTES } from '../../src/layout/table-layout.ts'
import { DIMS } from './pair.ts'

vi.setConfig({ testTimeout: PROPERTY_TIMEOUT_MS })

const PAGE = 65_536
const METRICS: Metric[] = ['dot', 'cosine', 'l2']
const DTYPES: Dtype[] = ['float32', 'float16', 'bfloat16', 'int8']

const tableMemory = createTableMemory(4 * PAGE)
const arenaMemory = createArenaMemory(32 * PAGE)
const table = new DataView(tableMemory.buffer)
const arena = new Uint8Array(arenaMemory.buffer)
const kernels = instantiateAttendKernels(tableMemory, arenaMemory)
const reference = makeReferenceKernels(tableMemory.buffer, arenaMemory.buffer)

const QUERIES_AT = PAGE
const OUT_AT = 8 * PAGE
const PACKED_AT = 16 * PAGE
const IDS_AT = 24 * PAGE

/** Makes numbers from -1 to 1; with `wild` some have any bits, such as NaN, infinities and subnormals. */
const makeNumbers = (seed: number, wild: boolean): (() => number) => {
  let state = seed | 1
  const bits = new DataView(new ArrayBuffer(4))
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    bits.setInt32(0, state)
    return wild && (state & 0x700) === 0 ? bits.getFloat32(0) : Math.fround(state / 2 ** 31)
  }
}

const fillTable = (dtype: Dtype, dim: number, rowCount: number, next: () => number): void => {
  for (let row = 0; row < rowCount; row++) {
    const at = ROWS_AT + row * rowBytes(dim, dtype)
    for (let k = 0; k < dim; k++) {
      if (dtype === 'float32') table.setFloat32(at + 4 * k, next(), true)
      else if (dtype === 'float16') table.setFloat16(at + 2 * k, next(), true)
      else if (dtype === 'bfloat16')
        table.setUint16(at + 2 * k, new Uint32Array(Float32Array.of(next()).buffer)[0] >>> 16, true)
      else table.setUint8(at + k, Math.abs(Math.floor(next() * 255)))
    }
    if (dtype !== 'int8') continue
    table.setFloat32(at + dim, next() / 100, true)
    table.setFloat32(at + dim + 4, next(), true)
  }
}

/** Writes padded queries into the arena, and returns them without padding. */
const writeQueries = (count: number, dim: number, next: () => number, at: number): Float32Array[] => {
  const queries = Array.from({ length: count }, () => Float32Array.from({ length: dim }, next))
  queries.forEach((query, q) => {
    const padded = new Float32Array(queryBytes(dim) / 4)
    padded.set(query)
    arena.set(new Uint8Array(padded.buffer), at + q * padded.byteLength)
  })
  return queries
}

/** Widens rows to float32, and writes them packed at PACKED_AT. */
const widenRows = (dtype: Dtype, dim: number, local: number, rowCount: number): Float32Array[] => {
  new Int32Array(arenaMemory.buffer, IDS_AT, rowCount).forEach((_, i, ids) => (ids[i] = local + i))
  reference.gather('float32', dtype, IDS_AT, rowCount, PACKED_AT, 0, 0, local + rowCount, dim)
  return Array.from(
    { length: rowCount },
    (_, i) => new Float32Array(arena.slice(PACKED_AT + i * dim * 4, PACKED_AT + (i + 1) * dim * 4).buffer),
  )
}

const canonical = (scores: Iterable<number>): Uint32Array => {
  const bits = new Uint32Array(Float32Array.from(scores).buffer)
  return bits.map((word) => ((word & 0x7fffffff) > 0x7f800000 ? 0x7fc00000 : word))
}

interface Case {
  metric: Metric
  dtype: Dtype
  dim: number
  local: number
  rowCount: number
  queryCount: number
  slack: number
  seed: number
  wild: boolean
  /** Rows and queries are multiplied by 2 to this power: sums overflow, or their terms underflow. */
  power?: number
}

const checkScores = ({
  metric,
  dtype,
  dim,
  local,
  rowCount,
  queryCount,
  slack,
  seed,
  ...one
}: Case): void => {
  const { wild, power = 0 } = one
  const plain = makeNumbers(seed, wild)
  const next = (): number => Math.fround(plain() * 2 ** power)
  fillTable(dtype, dim, local + rowCount + 1, next)
  const queries = writeQueries(queryCount, dim, wild ? makeNumbers(seed ^ 7, false) : next, QUERIES_AT)
  const rows = widenRows(dtype, dim, local, rowCount)
  const stride = rowCount + slack
  for (const packed of [false, true]) {
    arena.fill(0xa5, OUT_AT, OUT_AT + queryCount * stride * 4 + 64)
    const expected = arena.slice()
    const words = new Uint32Array(expected.buffer, OUT_AT, queryCount * stride)
    queries.forEach((query, q) =>
      words.set(canonical(rows.map((row) => scoreReference(metric, query, row))), q * stride),
    )
    if (packed) kernels.scorePacked(metric, PACKED_AT, rowCount, QUERIES_AT, queryCount, dim, OUT_AT, stride)
    else kernels.score(metric, dtype, local, rowCount, QUERIES_AT, queryCount, dim, OUT_AT, stride)
    const at = Buffer.compare(arena, expected) === 0 ? -1 : arena.findIndex((byte, i) => byte !== expected[i])
    expect(at, `packed ${packed}, byte ${at - OUT_AT} of the scores`).toBe(-1)
  }
}

const cases = fc.record({
  metric: fc.constantFrom(...METRICS),
  dtype: fc.constantFrom(...DTYPES),
  dim: fc.oneof(fc.integer({ min: 1, max: 12 }), fc.constantFrom(...DIMS), fc.integer({ min: 1, max: 300 })),
  local: fc.integer({ min: 0, max: 5 }),
  rowCount: fc.integer({ min: 0, max: 14 }),
  queryCount: fc.integer({ min: 0, max: 7 }),
  slack: fc.integer({ min: 0, max: 3 }),
  seed: fc.integer(),
  wild: fc.boolean(),
  power: fc.constantFrom(0, 0, -140, -100, -60, 60, 100, 127),
})

describe('the scores of the attend kernels', () => {
  test('equal those of the reference to the bit, and nothing else is written', () => {
    fc.assert(fc.property(cases, checkScores), { numRuns: PROPERTY_RUNS })
  })

  test.each([1, 2, 40])('equal them for %i queries of each metric and dtype', (queryCount) => {
    for (const metric of METRICS) {
      for (const dtype of DTYPES) {
        for (const dim of [1, 3, 4, 6, 64])
          checkScores({
            metric,
            dtype,
            dim,
            local: 1,
            rowCount: 5,
            queryCount,
            slack: 0,
            seed: dim,
            wild: true,
          })
      }
    }
  })

  test('widen every float16 exactly', () => {
    const halves = new Uint16Array(tableMemory.buffer, ROWS_AT, 2 ** 16)
    halves.forEach((_, half) => (halves[half] = half))
    new Float32Array(arenaMemory.buffer, QUERIES_AT, 4).set([1, 0, 0, 0])
    kernels.score('dot', 'float16', 0, halves.length, QUERIES_AT, 1, 1, OUT_AT, halves.length)
    const words = new Uint32Array(arenaMemory.buffer, OUT_AT, halves.length)
    const expected = canonical(Array.from(new Float16Array(halves.slice().buffer), (value) => value + 0))
    expect(Buffer.compare(Buffer.from(words.slice().buffer), Buffer.from(expected.buffer))).toBe(0)
  })

  test('are exact for small integers and for zero vectors', () => {
    fillTable('float32', 3, 4, () => 0)
    for (const [i, value] of [3, -4, 0, 6, 8, 0].entries()) table.setFloat32(ROWS_AT + i * 4, value, true)
    writeQueries(1, 3, makeNumbers(0, false), QUERIES_AT)
    new Float32Array(arenaMemory.buffer, QUERIES_AT, 3).set([0, 1, 0])
    const score = (metric: Metric) => {
      kernels.score(metric, 'float32', 0, 3, QUERIES_AT, 1, 3, OUT_AT, 3)
      return Array.from(new Float32Array(arenaMemory.buffer, OUT_AT, 3))
    }
    expect(score('dot')).toEqual([-4, 8, 0])
    expect(score('cosine')).toEqual([Math.fround(-0.8), Math.fround(0.8), 0])
    expect(score('l2')).toEqual([Math.fround(Math.sqrt(34)), Math.fround(Math.sqrt(85)), 1])
  })

  const scoreRows = (metric: Metric, rows: number[][], query: number[]): number[] => {
    const dim = query.length
    new Float32Array(tableMemory.buffer, ROWS_AT, rows.length * dim).set(rows.flat())
    new Float32Array(arenaMemory.buffer, QUERIES_AT, queryBytes(dim) / 4).fill(0).set(query)
    kernels.score(metric, 'float32', 0, rows.length, QUERIES_AT, 1, dim, OUT_AT, rows.length)
    return Array.from(new Float32Array(arenaMemory.buffer, OUT_AT, rows.length))
  }

  test.each([2 ** 66, 2 ** 124, 2 ** -66, 2 ** -124, 2 ** -145])(
    'are right for rows of numbers near %f, whose squares float32 does not hold',
    (unit) => {
      const rows = [
        [3 * unit, 4 * unit],
        [0, -unit],
        [0, 0],
      ]
      expect(scoreRows('cosine', rows, [1, 0])).toEqual([Math.fround(0.6), 0, 0])
      expect(scoreRows('cosine', rows, [0, 1])).toEqual([Math.fround(0.8), -1, 0])
      expect(scoreRows('l2', rows, [0, 0])).toEqual([5 * unit, unit, 0])
      expect(scoreRows('l2', rows, [3 * unit, 0])).toEqual([
        4 * unit,
        Math.fround(Math.hypot(3, 1) * unit),
        3 * unit,
      ])
    },
  )

  test('are right where a sum overflows on its way, and infinite where the result does', () => {
    const rows = [
      [2 ** 64, -(2 ** 64), 2 ** 100],
      [2 ** 64, 0, 0],
      [0, -(2 ** 64), 0],
    ]
    expect(scoreRows('dot', rows, [2 ** 64, 2 ** 64, 1])).toEqual([2 ** 100, Infinity, -Infinity])
    expect(scoreRows('l2', [[3e38, 0]], [-3e38, 0])).toEqual([Infinity])
    expect(scoreRows('l2', [[3e38, 0]], [-4e37, 0])).toEqual([
      Math.fround(Math.fround(3e38) + Math.fround(4e37)),
    ])
  })

  test('are cosines that never leave -1..1', () => {
    const next = makeNumbers(3, false)
    for (let i = 0; i < 500; i++) {
      const row = Array.from({ length: 37 }, next)
      const length = Math.hypot(...row)
      const [same, opposite] = scoreRows(
        'cosine',
        [row, row.map((value) => -value)],
        row.map((value) => value / length),
      )
      expect(same).toBeLessThanOrEqual(1)
      expect(same).toBeGreaterThan(0.999999)
      expect(opposite).toBe(-same)
    }
  })

  test.each(DTYPES)('can be computed for the last %s row at the end of the memory', (dtype) => {
    const memory = createTableMemory(PAGE)
    const small = instantiateAttendKernels(memory, arenaMemory)
    const rowCount = Math.floor((PAGE - ROWS_AT - SPARE_BYTES) / rowBytes(1, dtype))
    writeQueries(1, 1, makeNumbers(1, false), QUERIES_AT)
    for (const metric of METRICS) small.score(metric, dtype, rowCount - 1, 1, QUERIES_AT, 1, 1, OUT_AT, 1)
    expect(() => small.score('dot', dtype, rowCount, 1, QUERIES_AT, 1, 1, OUT_AT, 1)).toThrow(
      AssertionFailure,
    )
  })

  test('assert that nothing is read or written outside the memories', () => {
    const end = arena.length
    const packed = (rowsAt: number) => () =>
      kernels.scorePacked('dot', rowsAt, 1, QUERIES_AT, 1, 4, OUT_AT, 1)
    expect(packed(end - 16 - PACKED_SPARE_BYTES)).not.toThrow()
    expect(packed(end - 16 - PACKED_SPARE_BYTES + 1)).toThrow(AssertionFailure)
    expect(() => kernels.score('dot', 'float32', 0, 1, end - 15, 1, 4, OUT_AT, 1)).toThrow(AssertionFailure)
    expect(() => kernels.score('dot', 'float32', 0, 2, QUERIES_AT, 2, 4, end - 12, 2)).toThrow(
      AssertionFailure,
    )
    expect(() => kernels.score('dot', 'float32', -1, 1, QUERIES_AT, 1, 4, OUT_AT, 1)).toThrow(
      AssertionFailure,
    )
    expect(() => kernels.offerScores('dot', OUT_AT, 1, 1, 1, 0, -1, end - 15, 1)).toThrow(AssertionFailure)
    expect(() => kernels.offerScores('dot', OUT_AT, 1, 1, 1, 0, -1, PAGE, 0)).toThrow(AssertionFailure)
    expect(() => kernels.settleTop('dot', PAGE, 2, 8, 1, 1, OUT_AT, PACKED_AT)).toThrow(AssertionFailure)
    expect(() => kernels.settleTop('dot', PAGE, 1, 0, 1, 1, end - 7, PACKED_AT)).toThrow(AssertionFailure)
    expect(() => kernels.settleTop('dot', PAGE, 1, 0, 1, 1, OUT_AT, end - 3)).toThrow(AssertionFailure)
  })
})

/** Few distinct numbers, so that most scores are tied. */
const scoreValues = fc.oneof(
  { weight: 8, arbitrary: fc.integer({ min: -3, max: 3 }) },
  { weight: 1, arbitrary: fc.constantFrom(NaN, Infinity, -Infinity, 1e-45, -1e-45, 3.4e38) },
)
const heapCases = fc.record({
  metric: fc.constantFrom(...METRICS),
  queries: fc.integer({ min: 1, max: 40 }).chain((length) =>
    fc.array(fc.array(scoreValues, { minLength: length, maxLength: length }), {
      minLength: 1,
      maxLength: 4,
    }),
  ),
  capacity: fc.integer({ min: 1, max: 45 }),
  skipped: fc.integer({ min: -1, max: 40 }),
  firstIndex: fc.constantFrom(0, 17, 2 ** 31 - 60),
  blockRows: fc.integer({ min: 1, max: 17 }),
  setCount: fc.integer({ min: 1, max: 3 }),
})

/** Offers the blocks of rows to several sets of heaps in rotation, then joins the sets. */
const findTop = (
  side: AttendKernels,
  found: HeapCase,
): { counts: number; indices: BigInt64Array; scores: Float32Array } => {
  const { metric, queries, capacity, skipped, firstIndex, blockRows, setCount } = found
  const rowCount = queries[0].length
  const scores = new Float32Array(arenaMemory.buffer, OUT_AT, queries.length * rowCount)
  queries.forEach((values, q) =>
    scores.set(
      Float32Array.from(values, (value) => value + 0),
      q * rowCount,
    ),
  )
  const setBytes = queries.length * heapBytes(capacity)
  arena.fill(0x5a, PAGE, PAGE + setCount * setBytes)
  for (let heap = 0; heap < setCount * queries.length; heap++)
    new Int32Array(arenaMemory.buffer, PAGE + heap * heapBytes(capacity), 1)[0] = 0
  for (let first = 0, block = 0; first < rowCount; first += blockRows, block++) {
    const count = Math.min(blockRows, rowCount - first)
    const heapsAt = PAGE + (block % setCount) * setBytes
    const skippedIndex = skipped < 0 ? -1 : firstIndex + skipped
    side.offerScores(
      metric,
      OUT_AT + first * 4,
      rowCount,
      count,
      queries.length,
      firstIndex + first,
      skippedIndex,
      heapsAt,
      capacity,
    )
  }
  const counts = side.settleTop(metric, PAGE, setCount, setBytes, queries.length, capacity, PACKED_AT, IDS_AT)
  const places = queries.length * capacity
  return {
    counts,
    indices: new BigInt64Array(arenaMemory.buffer, PACKED_AT, places),
    scores: new Float32Array(arenaMemory.buffer, IDS_AT, places),
  }
}
interface HeapCase {
  metric: Metric
  queries: number[][]
  capacity: number
  skipped: number
  firstIndex: number
  blockRows: number
  setCount: number
}

describe('the top k of each query', () => {
  test('equal those of the reference for any blocks and any distribution over threads', () => {
    fc.assert(
      fc.property(heapCases, (found) => {
        const { counts, indices, scores } = findTop(kernels, found)
        const expected = found.queries.map((values) =>
          topReference(found.metric, Float32Array.from(values), found.capacity, found.skipped),
        )
        expect(counts).toBe(expected[0].indices.length)
        expected.forEach((top, q) => {
          const at = q * found.capacity
          expect([...indices.subarray(at, at + counts)].map(Number)).toEqual(
            top.indices.map((index) => index + found.firstIndex),
          )
          expect(canonical(scores.slice(at, at + counts))).toEqual(
            canonical(top.scores.map((score) => score + 0)),
          )
        })
      }),
      { numRuns: PROPERTY_RUNS },
    )
  })

  test('are the first rows when all scores are equal', () => {
    const found = {
      metric: 'dot' as const,
      queries: [Array(100).fill(2)],
      capacity: 5,
      skipped: 1,
      firstIndex: 0,
      blockRows: 32,
      setCount: 2,
    }
    expect(Array.from(findTop(kernels, found).indices, Number)).toEqual([0, 2, 3, 4, 5])
  })
})
