import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { AssertionFailure } from '../../src/core/assert.ts'
import type { Dtype } from '../../src/core/types.ts'
import {
  type BagKernels,
  type BagOperation,
  type Bags,
  instantiateBagKernels,
} from '../../src/kernels/bag.ts'
import { createArenaMemory, createTableMemory } from '../../src/kernels/memories.ts'
import { makeReferenceBagKernels } from '../../src/kernels/reference/bag.ts'
import { ROWS_AT, rowBytes } from '../../src/layout/table-layout.ts'
import { PROPERTY_RUNS, runsOf } from '../helpers/property-runs.ts'

const DTYPES: Dtype[] = ['float32', 'float16', 'bfloat16', 'int8']
const OPERATIONS: BagOperation[] = ['sum', 'mean', 'max', 'sqrtn']
const PAGE = 65_536
const TABLE_BYTES = 2 * PAGE
const ARENA_BYTES = 16 * PAGE
const ROW_COUNT = 40
const FIRST_ROW = 1000
const FILL_AT = 64
const IDS_AT = 4096
const OFFSETS_AT = 8192
const WEIGHTS_AT = 12_288
const OUT_AT = 16_384
const PACKED_AT = 8 * PAGE

const tableMemory = createTableMemory(TABLE_BYTES)
const arenaMemory = createArenaMemory(ARENA_BYTES)
const table = new DataView(tableMemory.buffer)
const arena = new DataView(arenaMemory.buffer)
const arenaBytes = new Uint8Array(arenaMemory.buffer)
const referenceArena = new Uint8Array(ARENA_BYTES)
const kernels = instantiateBagKernels(tableMemory, arenaMemory)
const reference = makeReferenceBagKernels(tableMemory.buffer, referenceArena.buffer)

interface BagCase {
  operation: BagOperation
  dtype: Dtype
  dim: number
  /** The sizes of the bags. */
  sizes: number[]
  ids: number[]
  weights: number[] | null
  seed: number
}

/** Numbers at which float32 arithmetic is likely to differ. */
const specials = [0, -0, 1, -1, NaN, Infinity, -Infinity, 3e38, -3e38, 1e-40, 16_777_216, 0.1]

const makeRandom = (seed: number): (() => number) => {
  let state = seed | 1
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 2 ** 32
  }
}

/** Writes rows that `seed` determines; about every 16th number is a special one. */
const writeRows = (dtype: Dtype, dim: number, seed: number): void => {
  const random = makeRandom(seed)
  const number = (): number => {
    const kind = random()
    return kind < 0.06
      ? specials[Math.floor(random() * specials.length)]
      : (random() - 0.5) * 2 ** Math.floor(random() * 12 - 6)
  }
  for (let row = 0; row < ROW_COUNT; row++) {
    const at = ROWS_AT + row * rowBytes(dim, dtype)
    for (let k = 0; k < dim; k++) {
      if (dtype === 'float32') table.setFloat32(at + k * 4, number(), true)
      else if (dtype === 'float16') table.setFloat16(at + k * 2, number(), true)
      else if (dtype === 'bfloat16') table.setUint16(at + k * 2, random() * 65_536, true)
      else table.setUint8(at + k, random() * 256)
    }
    if (dtype === 'int8') {
      table.setFloat32(at + dim, random() / 50, true)
      table.setFloat32(at + dim + 4, random() - 0.5, true)
    }
  }
}

/** Writes a case into the arena and into the copy of the reference. */
const prepare = ({ operation, dtype, dim, sizes, ids, weights, seed }: BagCase): Bags => {
  writeRows(dtype, dim, seed)
  arenaBytes.fill(0xa5)
  for (let k = 0; k < dim; k++) arena.setFloat32(FILL_AT + k * 4, k - 3.5, true)
  for (const [m, id] of ids.entries()) arena.setInt32(IDS_AT + m * 4, id, true)
  for (const [m, weight] of (weights ?? []).entries()) arena.setFloat32(WEIGHTS_AT + m * 4, weight, true)
  let offset = 0
  arena.setInt32(OFFSETS_AT, 0, true)
  for (const [bag, size] of sizes.entries()) arena.setInt32(OFFSETS_AT + bag * 4 + 4, (offset += size), true)
  referenceArena.set(arenaBytes)
  const weightsAt = weights === null ? 0 : WEIGHTS_AT
  return { operation, dim, bagCount: sizes.length, offsetsAt: OFFSETS_AT, weightsAt, outAt: OUT_AT }
}

const difference = (): string | null => {
  if (Buffer.compare(arenaBytes, referenceArena) === 0) return null
  const at = arenaBytes.findIndex((byte, index) => byte !== referenceArena[index])
  const place = `arena byte ${at} (element ${(at - OUT_AT) / 4})`
  return `${place}: kernel ${arenaBytes[at]}, reference ${referenceArena[at]}`
}

const pool = (side: BagKernels, bags: Bags, dtype: Dtype): void =>
  side.pool(bags, { dtype, idsAt: IDS_AT, fillAt: FILL_AT, firstRow: FIRST_ROW, rowCount: ROW_COUNT })

const dims = fc.oneof(
  { weight: 3, arbitrary: fc.integer({ min: 1, max: 40 }) },
  { weight: 2, arbitrary: fc.constantFrom(1, 2, 3, 4, 7, 8, 12, 15, 16, 17, 31, 32, 33, 47, 48, 64) },
  { weight: 1, arbitrary: fc.integer({ min: 41, max: 300 }) },
)
const sizes = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: fc.integer({ min: 0, max: 4 }) },
    { weight: 1, arbitrary: fc.integer({ min: 5, max: 40 }) },
  ),
  {
    maxLength: 8,
  },
)
const ids = fc.oneof(
  { weight: 12, arbitrary: fc.integer({ min: FIRST_ROW, max: FIRST_ROW + ROW_COUNT - 1 }) },
  { weight: 1, arbitrary: fc.constant(-1) },
  { weight: 1, arbitrary: fc.constantFrom(FIRST_ROW - 1, FIRST_ROW + ROW_COUNT, 2 ** 31 - 1, -(2 ** 31)) },
)
const weight = fc.oneof(
  { weight: 6, arbitrary: fc.float({ noNaN: true, min: -4, max: 4 }) },
  { weight: 1, arbitrary: fc.constantFrom(0, -0, 1, -1, Math.fround(3e38)) },
)

const casesOf = (operation: BagOperation): fc.Arbitrary<BagCase> =>
  fc
    .record({
      operation: fc.constant(operation),
      dtype: fc.constantFrom(...DTYPES),
      dim: dims,
      sizes,
      weighted: fc.boolean(),
      seed: fc.integer(),
    })
    .chain(({ weighted, ...rest }) => {
      const count = rest.sizes.reduce((sum, size) => sum + size, 0)
      const members = { minLength: count, maxLength: count }
      return fc.record({
        ...Object.fromEntries(Object.entries(rest).map(([name, value]) => [name, fc.constant(value)])),
        ids: fc.array(ids, members),
        weights: weighted && rest.operation !== 'max' ? fc.array(weight, members) : fc.constant(null),
      }) as fc.Arbitrary<BagCase>
    })

describe('pooling by the kernels', () => {
  test.each(OPERATIONS)('as %s equals its reference to the bit, and writes nothing else', (operation) => {
    fc.assert(
      fc.property(casesOf(operation), (bagCase) => {
        const bags = prepare(bagCase)
        pool(kernels, bags, bagCase.dtype)
        pool(reference, bags, bagCase.dtype)
        expect(difference()).toBeNull()
      }),
      { numRuns: PROPERTY_RUNS },
    )
  })

  test.each(OPERATIONS)('as %s of packed rows in any parts equals pooling from the table', (operation) => {
    const splits = fc.array(fc.nat({ max: 60 }), { maxLength: 5 })
    fc.assert(
      fc.property(casesOf(operation), splits, (bagCase, cuts) => {
        const bags = prepare(bagCase)
        const { dim, dtype } = bagCase
        const count = bagCase.ids.length
        // Bags of one member each copy the rows of the members as float32.
        const rows = {
          ...bags,
          operation: 'max' as const,
          bagCount: count,
          weightsAt: 0,
          offsetsAt: OFFSETS_AT + 2048,
          outAt: PACKED_AT,
        }
        for (let m = 0; m <= count; m++) arena.setInt32(rows.offsetsAt + m * 4, m, true)
        pool(kernels, rows, dtype)
        referenceArena.set(arenaBytes)
        pool(reference, bags, dtype)
        const bounds = [0, ...cuts.filter((cut) => cut < count).sort((a, b) => a - b), count]
        for (const [i, first] of bounds.slice(0, -1).entries())
          kernels.poolPacked(bags, PACKED_AT + first * dim * 4, first, bounds[i + 1])
        expect(difference()).toBeNull()
        referenceArena.set(arenaBytes)
        for (const [i, first] of bounds.slice(0, -1).entries())
          reference.poolPacked(bags, PACKED_AT + first * dim * 4, first, bounds[i + 1])
        expect(difference()).toBeNull()
      }),
      { numRuns: PROPERTY_RUNS / OPERATIONS.length },
    )
  })

  test.each(DTYPES)('equals its reference for %s dims up to 300, with more members than a block', (dtype) => {
    // Without CI=true: every dim up to 100, and then every seventh.
    const sparseFrom = runsOf({ quick: 100, long: 300 })
    for (let dim = 1; dim <= 300; dim += dim < sparseFrom ? 1 : 7) {
      const operation = OPERATIONS[dim % OPERATIONS.length]
      const sizes = [0, 1, dim % 10 === 0 ? 600 : 200, 0, 3]
      const ids = Array.from({ length: sizes[2] + 4 }, (_, m) =>
        m % 67 === 5 ? -1 : FIRST_ROW + ((m * 7) % ROW_COUNT),
      )
      const weights =
        dim % 3 === 0 && operation !== 'max' ? ids.map((_, m) => Math.fround((m % 11) / 7 - 0.5)) : null
      const bags = prepare({ operation, dtype, dim, sizes, ids, weights, seed: dim })
      pool(kernels, bags, dtype)
      pool(reference, bags, dtype)
      expect(difference(), `dim ${dim}`).toBeNull()
    }
  })

  const poolNumbers = (
    operation: BagOperation,
    rows: number[][],
    sizes: number[],
    weights: number[] | null = null,
  ): number[] => {
    const dim = rows[0].length
    const ids = Array.from({ length: sizes.reduce((sum, size) => sum + size, 0) }, (_, m) => FIRST_ROW + m)
    const bags = prepare({ operation, dtype: 'float32', dim, sizes, ids, weights, seed: 1 })
    for (const [row, values] of rows.entries())
      for (const [k, value] of values.entries()) table.setFloat32(ROWS_AT + (row * dim + k) * 4, value, true)
    pool(kernels, bags, 'float32')
    return Array.from(new Float32Array(arenaMemory.buffer, OUT_AT, sizes.length * dim))
  }

  test('adds in the order of the members', () => {
    expect(poolNumbers('sum', [[16_777_216], [1], [1]], [3])).toEqual([16_777_216])
    expect(poolNumbers('sum', [[1], [1], [16_777_216]], [3])).toEqual([16_777_218])
  })

  test('keeps the first of equal maxima, and NaN only if it is the first member', () => {
    expect(poolNumbers('max', [[-0], [0]], [2])).toEqual([-0])
    expect(poolNumbers('max', [[0], [-0]], [2])).toEqual([0])
    expect(poolNumbers('max', [[NaN], [1]], [2])).toEqual([NaN])
    expect(poolNumbers('max', [[1], [NaN]], [2])).toEqual([1])
    expect(poolNumbers('max', [[-2], [-3]], [1, 1, 0])).toEqual([-2, -3, 0])
  })

  test('divides by the sum of the weights, and returns zeros when that is zero', () => {
    expect(poolNumbers('mean', [[2], [8]], [2], [1, 3])).toEqual([6.5])
    expect(poolNumbers('mean', [[2], [8]], [2], [1, -1])).toEqual([0])
    expect(poolNumbers('sqrtn', [[2], [8]], [2], [3, 4])).toEqual([Math.fround(38 / 5)])
    expect(poolNumbers('sqrtn', [[NaN], [8]], [2], [0, 0])).toEqual([0])
    expect(poolNumbers('sum', [[2], [8]], [1, 1], [0.5, -1])).toEqual([1, -8])
  })

  test('returns a single NaN bit pattern', () => {
    poolNumbers(
      'sum',
      [
        [NaN, Infinity],
        [-1, -Infinity],
      ],
      [2],
    )
    expect([arena.getUint32(OUT_AT, true), arena.getUint32(OUT_AT + 4, true)]).toEqual([
      0x7fc00000, 0x7fc00000,
    ])
  })
})

describe('the bag kernels', () => {
  const run = (
    change: Partial<Bags> & { idsAt?: number; fillAt?: number; rowCount?: number; offsets?: number[] },
  ): void => {
    const { idsAt = IDS_AT, fillAt = FILL_AT, rowCount = ROW_COUNT, offsets = [0, 1, 2], ...rest } = change
    const bags = {
      operation: 'sum' as const,
      dim: 4,
      bagCount: offsets.length - 1,
      offsetsAt: OFFSETS_AT,
      weightsAt: 0,
      outAt: OUT_AT,
      ...rest,
    }
    prepare({
      operation: 'sum',
      dtype: 'float32',
      dim: 4,
      sizes: [1, 1],
      ids: [1000, 1001],
      weights: null,
      seed: 1,
    })
    for (const [i, offset] of offsets.entries()) arena.setInt32(OFFSETS_AT + i * 4, offset, true)
    kernels.pool(bags, { dtype: 'float32', idsAt, fillAt, firstRow: FIRST_ROW, rowCount })
    kernels.poolPacked(bags, PACKED_AT, 0, 2)
  }

  test('accept bags that just fit', () => {
    run({})
    run({ outAt: ARENA_BYTES - 32 })
    run({ fillAt: ARENA_BYTES - 16 })
    run({ weightsAt: ARENA_BYTES - 8 })
  })

  test.each([
    { outAt: ARENA_BYTES - 31 },
    { idsAt: ARENA_BYTES - 7 },
    { fillAt: ARENA_BYTES - 15 },
    { weightsAt: ARENA_BYTES - 7 },
    { offsetsAt: ARENA_BYTES - 11 },
    { bagCount: -1 },
    { offsets: [-1, 2] },
    { offsets: [2, 1] },
    { operation: 'max' as const, weightsAt: WEIGHTS_AT },
    { rowCount: 1e6 },
  ])('assert against %o', (change) => {
    expect(() => run(change)).toThrow(AssertionFailure)
  })

  test('assert that packed rows lie in the arena', () => {
    const bags: Bags = {
      operation: 'sum',
      dim: 4,
      bagCount: 1,
      offsetsAt: OFFSETS_AT,
      weightsAt: 0,
      outAt: OUT_AT,
    }
    arena.setInt32(OFFSETS_AT, 0, true)
    arena.setInt32(OFFSETS_AT + 4, 2, true)
    kernels.poolPacked(bags, ARENA_BYTES - 32, 0, 2)
    expect(() => kernels.poolPacked(bags, ARENA_BYTES - 31, 0, 2)).toThrow(AssertionFailure)
    expect(() => kernels.poolPacked(bags, PACKED_AT, 2, 1)).toThrow(AssertionFailure)
  })
})
