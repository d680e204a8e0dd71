import { describe, expect, test } from 'vitest'
import { completeInitializer, type Initializer, initializeRows } from '../../src/upload/initializers.ts'
import { refusalOf } from '../formats/refusal.ts'

const fill = (initializer: Initializer, rows: number, dim: number): Float32Array => {
  const target = new Float32Array(rows * dim)
  initializeRows(completeInitializer(initializer, dim), rows, dim)(0, rows, target)
  return target
}

const mean = (values: Float32Array) => {
  let sum = 0
  for (const value of values) sum += value
  return sum / values.length
}
const variance = (values: Float32Array, around: number) => {
  let sum = 0
  for (const value of values) sum += (value - around) ** 2
  return sum / values.length
}
/** The correlation of each value with the one `distance` later, in standard deviations under independence. */
const correlation = (values: Float32Array, distance: number, around: number, of: number) => {
  let sum = 0
  for (let i = 0; i + distance < values.length; i++)
    sum += (values[i] - around) * (values[i + distance] - around)
  return sum / of / Math.sqrt(values.length - distance)
}
/**
 * The Kolmogorov-Smirnov statistic: the largest error of the distribution function, times the root of the
 * count.
 */
const misfit = (values: Float32Array, distribution: (x: number) => number) => {
  const sorted = values.slice().sort()
  let largest = 0
  for (let i = 0; i < sorted.length; i++)
    largest = Math.max(largest, Math.abs((i + 0.5) / sorted.length - distribution(sorted[i])))
  return Math.sqrt(sorted.length) * largest
}
/** The normal distribution function, computed independently by its integral. */
const normalBelow = (() => {
  const step = 1e-3
  const sums = [0]
  for (let x = -8; x < 8; x += step)
    sums.push((sums.at(-1) ?? 0) + (step * Math.exp(-((x + step / 2) ** 2) / 2)) / Math.sqrt(2 * Math.PI))
  return (x: number) => sums[Math.max(0, Math.min(sums.length - 1, Math.round((x + 8) / step)))]
})()

describe('A seeded initializer', () => {
  // The expected numbers are those of an independent Threefry and of statistics.NormalDist().inv_cdf in
  // Python 3.11.
  test.each<[string, Initializer, number, number[]]>([
    [
      'uniform',
      { kind: 'uniform', seed: 42 },
      8,
      [
        0.03690484166145325, -0.018974648788571358, -0.03493675962090492, 0.049275338649749756,
        0.002032066462561488, -0.03935275599360466,
      ],
    ],
    [
      'normal',
      { kind: 'normal', seed: 42 },
      8,
      [
        0.5609520673751831, -0.24756595492362976, -0.5168624520301819, 1.2224005460739136,
        0.02547919750213623, -0.6227542757987976,
      ],
    ],
    [
      'truncated_normal',
      { kind: 'truncated_normal', seed: 42 },
      8,
      [
        0.5230804085731506, -0.23540666699409485, -0.48398691415786743, 0.9428550601005554,
        0.02431895211338997, -0.5766879916191101,
      ],
    ],
    [
      'variance_scaling, uniform',
      { kind: 'variance_scaling', scale: 2, mode: 'fan_out', distribution: 'uniform', seed: 42 },
      100,
      [
        0.1807960569858551, -0.09295641630887985, -0.1711544692516327, 0.2413988709449768,
        0.009955051355063915, -0.19278834760189056,
      ],
    ],
    [
      'variance_scaling, truncated_normal',
      { kind: 'variance_scaling', mode: 'fan_avg', distribution: 'truncated_normal', seed: 42 },
      8,
      [
        0.48553991317749023, -0.21851196885108948, -0.44925206899642944, 0.8751881122589111,
        0.022573625668883324, -0.5353001952171326,
      ],
    ],
  ])('%s has pinned values (dim 4)', (_, initializer, rows, wanted) => {
    expect(Array.from(fill(initializer, rows, 4).subarray(0, 6))).toEqual(wanted)
  })

  test('makes the same rows in any parts', () => {
    for (const kind of ['uniform', 'normal', 'truncated_normal', 'variance_scaling'] as const) {
      const complete = completeInitializer({ kind, seed: 5 }, 3)
      const rows = initializeRows(complete, 50, 3)
      const whole = new Float32Array(150)
      rows(0, 50, whole)
      const part = new Float32Array(21)
      rows(11, 7, part)
      expect(Array.from(part)).toEqual(Array.from(whole.subarray(33, 54)))
    }
  })

  test('depends on its seed, and returns the chosen seed when none is given', () => {
    expect(fill({ kind: 'normal', seed: 1 }, 2, 2)).not.toEqual(fill({ kind: 'normal', seed: 2 }, 2, 2))
    const [first, second] = [
      completeInitializer({ kind: 'normal' }, 2),
      completeInitializer({ kind: 'normal' }, 2),
    ]
    expect(first).toMatchObject({ kind: 'normal', mean: 0, seed: expect.any(Number) })
    expect(first).not.toEqual(second)
    expect(fill(first, 2, 2)).toEqual(fill(first, 2, 2))
  })
})

const SAMPLE = { rows: 4000, dim: 64 }

describe('Of 256,000 values', () => {
  const normalInside = (x: number) => (normalBelow(x) - normalBelow(-2)) / (normalBelow(2) - normalBelow(-2))
  const between = (min: number, max: number) => (x: number) => (x - min) / (max - min)
  const scaled = (
    mode: 'fan_in' | 'fan_out' | 'fan_avg',
    distribution: 'normal' | 'truncated_normal' | 'uniform',
  ): Initializer => ({
    kind: 'variance_scaling',
    scale: 3,
    mode,
    distribution,
    seed: 9,
  })
  const truncatedVariance = 0.87962566103423978 ** 2

  test.each<
    [string, Initializer, { mean: number; variance: number; limit: number; below: (x: number) => number }]
  >([
    [
      'uniform',
      { kind: 'uniform', min: -1, max: 3, seed: 1 },
      { mean: 1, variance: 16 / 12, limit: 2, below: between(-1, 3) },
    ],
    [
      'default uniform',
      { kind: 'uniform', seed: 2 },
      { mean: 0, variance: 0.01 / 12, limit: 0.05, below: between(-0.05, 0.05) },
    ],
    [
      'normal',
      { kind: 'normal', mean: 5, stddev: 2, seed: 3 },
      { mean: 5, variance: 4, limit: 12, below: (x) => normalBelow((x - 5) / 2) },
    ],
    [
      'default normal',
      { kind: 'normal', seed: 4 },
      { mean: 0, variance: 1 / 64, limit: 0.75, below: (x) => normalBelow(x * 8) },
    ],
    [
      'truncated_normal',
      { kind: 'truncated_normal', mean: -1, stddev: 3, seed: 5 },
      { mean: -1, variance: 9 * truncatedVariance, limit: 6, below: (x) => normalInside((x + 1) / 3) },
    ],
    [
      'fan_in normal',
      scaled('fan_in', 'normal'),
      { mean: 0, variance: 3 / 64, limit: 2, below: (x) => normalBelow(x / Math.sqrt(3 / 64)) },
    ],
    [
      'fan_out uniform',
      scaled('fan_out', 'uniform'),
      {
        mean: 0,
        variance: 3 / 4000,
        limit: Math.sqrt(9 / 4000),
        below: between(-Math.sqrt(9 / 4000), Math.sqrt(9 / 4000)),
      },
    ],
    [
      'fan_avg truncated',
      scaled('fan_avg', 'truncated_normal'),
      {
        mean: 0,
        variance: 3 / 2032,
        limit: (2 * Math.sqrt(3 / 2032)) / Math.sqrt(truncatedVariance),
        below: (x) => normalInside((x / Math.sqrt(3 / 2032)) * Math.sqrt(truncatedVariance)),
      },
    ],
  ])('%s has the mean, variance, bounds and shape it should', (_, initializer, wanted) => {
    const values = fill(initializer, SAMPLE.rows, SAMPLE.dim)
    const stddev = Math.sqrt(wanted.variance)
    const found = mean(values)
    expect(Math.abs(found - wanted.mean)).toBeLessThan((5 * stddev) / Math.sqrt(values.length))
    expect(Math.abs(variance(values, wanted.mean) / wanted.variance - 1)).toBeLessThan(
      5 * Math.sqrt(2 / values.length),
    )
    expect(values.every((value) => Math.abs(value - wanted.mean) <= wanted.limit * (1 + 1e-6))).toBe(true)
    // One sample in 20,000 exceeds this bound.
    expect(misfit(values, wanted.below)).toBeLessThan(2.3)
    for (const distance of [1, 2, SAMPLE.dim])
      expect(Math.abs(correlation(values, distance, wanted.mean, wanted.variance))).toBeLessThan(5)
  })
})

describe('A deterministic initializer', () => {
  test('fills with zeros or its value', () => {
    expect(Array.from(fill({ kind: 'zeros' }, 2, 2))).toEqual([0, 0, 0, 0])
    expect(Array.from(fill({ kind: 'constant', value: 0.1 }, 1, 2))).toEqual([
      Math.fround(0.1),
      Math.fround(0.1),
    ])
    expect(Array.from(fill({ kind: 'normal', mean: 3, stddev: 0 }, 1, 2))).toEqual([3, 3])
    expect(Array.from(fill({ kind: 'uniform', min: 2, max: 2 }, 1, 2))).toEqual([2, 2])
  })

  test('makes a table without rows', () => {
    for (const mode of ['fan_in', 'fan_out', 'fan_avg'] as const) {
      expect(fill({ kind: 'variance_scaling', mode }, 0, 4)).toHaveLength(0)
    }
  })
})

test('The default initializer is that of flax: normal with variance 1/dim', () => {
  expect(completeInitializer({ kind: 'normal', seed: 0 }, 16)).toEqual({
    kind: 'normal',
    mean: 0,
    stddev: 0.25,
    seed: 0,
  })
  expect(completeInitializer({ kind: 'uniform', seed: 0 }, 16)).toEqual({
    kind: 'uniform',
    min: -0.05,
    max: 0.05,
    seed: 0,
  })
  expect(completeInitializer({ kind: 'variance_scaling', seed: 0 }, 16)).toEqual({
    kind: 'variance_scaling',
    scale: 1,
    mode: 'fan_in',
    distribution: 'normal',
    seed: 0,
  })
  expect(fill({ kind: 'variance_scaling', seed: 8 }, 3, 16)).toEqual(fill({ kind: 'normal', seed: 8 }, 3, 16))
})

test.each<[string, Initializer]>([
  ['min', { kind: 'uniform', min: 1, max: 0 }],
  ['max', { kind: 'uniform', max: Infinity }],
  ['value', { kind: 'constant', value: NaN }],
  ['mean', { kind: 'normal', mean: NaN }],
  ['stddev', { kind: 'truncated_normal', stddev: -1 }],
  ['scale', { kind: 'variance_scaling', scale: 0 }],
  ['seed', { kind: 'normal', seed: -1 }],
  ['seed', { kind: 'normal', seed: 1.5 }],
  ['seed', { kind: 'normal', seed: 2 ** 53 }],
])('A %s without meaning is refused: %j', (member, initializer) => {
  const refusal = refusalOf(() => completeInitializer(initializer, 4))
  expect(refusal).toMatchObject({ code: 'INVALID_REQUEST' })
  expect(refusal.detail).toContain(member)
})
