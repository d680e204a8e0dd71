import { describe, expect, test } from 'vitest'
import { type IdStream, makeIds, makeRandom, spreadRank } from '../../load/zipf.ts'

const STREAM: IdStream = { distribution: 'zipf', rowCount: 10_000, count: 200_000, seed: 11, exponent: 1.05 }

function countIds(ids: Int32Array, rowCount: number): Uint32Array {
  const counts = new Uint32Array(rowCount)
  for (const id of ids) counts[id] += 1
  return counts
}

describe('random numbers', () => {
  test('are the same on every machine for a seed', () => {
    const random = makeRandom(1)
    expect(Array.from({ length: 4 }, random)).toMatchInlineSnapshot(`
      [
        0.9579300163313746,
        0.649345995625481,
        0.5463497363962233,
        0.5349671458825469,
      ]
    `)
  })

  test('lie in [0, 1), with the mean and spread of a uniform distribution', () => {
    const random = makeRandom(5)
    const values = Array.from({ length: 100_000 }, random)
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length
    expect(Math.min(...values.slice(0, 50_000))).toBeGreaterThanOrEqual(0)
    expect(Math.max(...values.slice(0, 50_000))).toBeLessThan(1)
    expect(mean).toBeCloseTo(0.5, 2)
    expect(variance).toBeCloseTo(1 / 12, 2)
  })
})

describe('the permutation of rows', () => {
  test.each([1, 2, 3, 10, 997, 1_000, 1_024, 100_000])('of %i rows reaches every row once', (rowCount) => {
    const rows = new Set(Array.from({ length: rowCount }, (_, rank) => spreadRank(rank, rowCount)))
    expect(rows.size).toBe(rowCount)
    expect(Math.min(...rows)).toBe(0)
  })

  test('spreads the hundred most frequent rows over the table', () => {
    const rows = Array.from({ length: 100 }, (_, rank) => spreadRank(rank, 1_000_000)).sort(
      (left, right) => left - right,
    )
    const gaps = rows.slice(1).map((row, index) => row - rows[index])
    expect(Math.min(...gaps)).toBeGreaterThan(2_000)
  })
})

describe('Zipf ids', () => {
  const ids = makeIds(STREAM)
  const counts = countIds(ids, STREAM.rowCount)

  test('are equal for equal seeds, and differ for others', () => {
    expect(makeIds(STREAM)).toEqual(ids)
    expect(makeIds({ ...STREAM, seed: 12 })).not.toEqual(ids)
  })

  test('lie within the table', () => {
    expect(ids.every((id) => id >= 0 && id < STREAM.rowCount)).toBe(true)
  })

  test('occur in proportion to 1 / rank^s', () => {
    const total = Array.from({ length: STREAM.rowCount }, (_, rank) => (rank + 1) ** -STREAM.exponent).reduce(
      (sum, weight) => sum + weight,
      0,
    )
    for (const rank of [0, 1, 2, 9, 99]) {
      const wanted = (STREAM.count * (rank + 1) ** -STREAM.exponent) / total
      const counted = counts[spreadRank(rank, STREAM.rowCount)]
      // The tolerance is five standard deviations of a count.
      expect(Math.abs(counted - wanted)).toBeLessThan(5 * Math.sqrt(wanted))
    }
  })

  test('mostly name a hundredth of the rows', () => {
    const hot = [...counts].sort((left, right) => right - left).slice(0, STREAM.rowCount / 100)
    const share = hot.reduce((sum, count) => sum + count, 0) / STREAM.count
    expect(share).toBeGreaterThan(0.5)
    expect(share).toBeLessThan(0.7)
  })
})

describe('uniform ids', () => {
  test('name every row equally often', () => {
    const counts = countIds(makeIds({ ...STREAM, distribution: 'uniform', rowCount: 100 }), 100)
    expect(Math.min(...counts)).toBeGreaterThan(1_700)
    expect(Math.max(...counts)).toBeLessThan(2_300)
  })
})
