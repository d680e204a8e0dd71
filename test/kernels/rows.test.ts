import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test, vi } from 'vitest'
import { PROPERTY_RUNS, PROPERTY_TIMEOUT_MS } from '../helpers/property-runs.ts'
import { ROWS_AT, STRIPE_COUNT, STRIPES_AT } from '../../src/layout/table-layout.ts'
import { DIMS, makePair } from './pair.ts'

vi.setConfig({ testTimeout: PROPERTY_TIMEOUT_MS })

const PAGE = 65_536
const pair = makePair(32 * PAGE, 16 * PAGE)

const writeFloats = (at: number, values: number[]): void => {
  for (const [k, value] of values.entries()) pair.arenaView.setFloat32(at + k * 4, value, true)
}

describe('the kernel scatter', () => {
  const cases = fc.record({
    rowBytes: fc.oneof(fc.integer({ min: 0, max: 80 }), fc.constantFrom(100, 108, 257, 1024, 4096, 1200)),
    firstRow: fc.constantFrom(0, 7, 1_000_000, 2 ** 31 - 3000),
    rowCount: fc.integer({ min: 0, max: 300 }),
    ids: fc.array(fc.integer({ min: -5, max: 305 }), { maxLength: 50 }),
    shift: fc.integer({ min: 0, max: 17 }),
    seed: fc.integer(),
  })

  test('writes the named rows and their stripe words, and nothing else', () => {
    fc.assert(
      fc.property(cases, ({ rowBytes, firstRow, rowCount, ids, shift, seed }) => {
        pair.scramble(seed)
        // Stripe words are even unless a write is under way.
        for (let at = STRIPES_AT; at < ROWS_AT; at += 4) pair.table[at] &= 0xfe
        for (const [i, id] of ids.entries())
          pair.arenaView.setInt32(64 + shift + i * 4, id < 0 ? id : firstRow + id, true)
        pair.copy()
        for (const side of [pair.kernels, pair.reference])
          side.scatter(64 + shift, ids.length, 1024 + shift, firstRow, rowCount, rowBytes)
        expect(pair.difference()).toBeNull()
      }),
      { numRuns: PROPERTY_RUNS },
    )
  })

  test('increments the stripe word of a row by two, so that it is even again', () => {
    pair.scramble(3)
    pair.table.fill(0, STRIPES_AT, ROWS_AT)
    for (const [i, id] of [5, STRIPE_COUNT + 5, 9].entries()) pair.arenaView.setInt32(64 + i * 4, id, true)
    pair.kernels.scatter(64, 3, 1024, 0, 2000, 8)
    const words = Array.from({ length: STRIPE_COUNT }, (_, word) =>
      pair.tableView.getUint32(STRIPES_AT + word * 4, true),
    )
    expect([words[5], words[9], words.reduce((sum, word) => sum + word)]).toEqual([4, 2, 6])
    // These are more rows than one batch, and one stripe word guards all of them.
    for (let i = 0; i < 20; i++) pair.arenaView.setInt32(64 + i * 4, 5 + (i % 2) * STRIPE_COUNT, true)
    pair.kernels.scatter(64, 20, 1024, 0, 2000, 8)
    expect(pair.tableView.getUint32(STRIPES_AT + 5 * 4, true)).toBe(4 + 40)
  })
})

describe('the kernel quantise', () => {
  const numbers = fc.oneof(
    fc.float({ noNaN: true, noDefaultInfinity: true, min: -10, max: 10 }),
    fc.float({ noNaN: true, noDefaultInfinity: true }),
    fc.constantFrom(0, -0, 1, 2.5, 255),
  )
  const anything = fc.oneof(
    { weight: 20, arbitrary: numbers },
    { weight: 1, arbitrary: fc.constantFrom(NaN, Infinity, -Infinity) },
  )
  const dims = fc.oneof(fc.constantFrom(...DIMS, 1024), fc.integer({ min: 1, max: 300 }))
  const cases = dims.chain((dim) =>
    fc.record({
      dim: fc.constant(dim),
      rowCount: fc.integer({ min: 0, max: 3 }),
      localRow: fc.integer({ min: 0, max: 20 }),
      values: fc.array(fc.oneof({ weight: 3, arbitrary: numbers }, { weight: 1, arbitrary: anything }), {
        minLength: 40,
        maxLength: 60,
      }),
      shift: fc.integer({ min: 0, max: 17 }),
    }),
  )

  test('stores the same bits as its reference, and returns the same element', () => {
    fc.assert(
      fc.property(cases, ({ dim, rowCount, localRow, values, shift }) => {
        pair.scramble(dim)
        writeFloats(
          64 + shift,
          Array.from({ length: dim * rowCount }, (_, i) => values[(i * 7 + shift) % values.length]),
        )
        pair.copy()
        const found = pair.kernels.quantise(64 + shift, rowCount, dim, localRow)
        expect(found).toBe(pair.reference.quantise(64 + shift, rowCount, dim, localRow))
        expect(pair.difference()).toBeNull()
      }),
      { numRuns: PROPERTY_RUNS },
    )
  })

  test('stores the bytes that FBGEMM stores', () => {
    writeFloats(64, [0, 2.5, 255, 100])
    expect(pair.kernels.quantise(64, 1, 4, 0)).toBe(-1)
    expect(Buffer.from(pair.table.slice(ROWS_AT, ROWS_AT + 12)).toString('hex')).toBe(
      '0002ff640000803f00000000',
    )
  })

  test('stores a row of equal values exactly', () => {
    for (const value of [2.5, 0, -0.001, 3e38, 1e-45]) {
      writeFloats(64, [value, value, value])
      expect(pair.kernels.quantise(64, 1, 3, 0)).toBe(-1)
      pair.arenaView.setInt32(1024, 0, true)
      pair.kernels.gather('float32', 'int8', 1024, 1, 2048, 0, 0, 1, 3)
      expect([0, 1, 2].map((k) => pair.arenaView.getFloat32(2048 + k * 4, true))).toEqual(
        [1, 1, 1].map(() => Math.fround(value)),
      )
    }
  })

  test('stores a row that cannot be quantised as NaN, and returns the first element at fault', () => {
    const dim = 6
    const store = (row: number[]): number => {
      writeFloats(64, [...[1, 2, 3, 4, 5, 6], ...row, ...row])
      const found = pair.kernels.quantise(64, 3, dim, 0)
      for (const i of [0, 1]) pair.arenaView.setInt32(1024 + i * 4, i, true)
      pair.kernels.gather('float32', 'int8', 1024, 2, 2048, 0, 0, 3, dim)
      expect(pair.arenaView.getFloat32(2048, true)).toBe(1)
      expect(
        Array.from({ length: dim }, (_, k) => pair.arenaView.getFloat32(2048 + (dim + k) * 4, true)),
      ).toEqual(Array(dim).fill(NaN))
      return found
    }
    expect(store([1, 2, NaN, 4, Infinity, 6])).toBe(dim + 2)
    expect(store([1, 2, 3, 4, -Infinity, 6])).toBe(dim + 4)
    expect(store([1, 2, -3e38, 3e38, 5, 6])).toBe(dim)
  })

  interface GoldenCase {
    name: string
    table: { rows: number; dim: number; dtype: string; values: number[][] }
    request: { indices: number[]; pooling?: string }
    expect: { embeddings: number[][] }
    tolerance: { rtol: number; atol: number }
  }
  const golden = JSON.parse(readFileSync(new URL('../golden/dtypes.json', import.meta.url), 'utf8')) as {
    cases: GoldenCase[]
  }
  const bytes = golden.cases.filter(
    (one) => one.table?.dtype === 'int8' && one.name !== 'int8-fill' && one.request?.pooling === undefined,
  )

  test.each(bytes.map((one) => [one.name, one] as const))(
    'gives the numbers of PyTorch: %s',
    (_name, { table, request, expect: wanted, tolerance }) => {
      const { rows, dim, values } = table
      writeFloats(64, values.flat())
      expect(pair.kernels.quantise(64, rows, dim, 0)).toBe(-1)
      for (const [i, id] of request.indices.entries()) pair.arenaView.setInt32(8192 + i * 4, id, true)
      pair.kernels.gather('float32', 'int8', 8192, request.indices.length, 16_384, 0, 0, rows, dim)
      for (const [i, value] of wanted.embeddings.flat().entries()) {
        const error = Math.abs(pair.arenaView.getFloat32(16_384 + i * 4, true) - value)
        expect(error).toBeLessThanOrEqual(tolerance.atol + tolerance.rtol * Math.abs(value))
      }
    },
  )

  test('is tested on golden rows', () => {
    expect(bytes.length).toBeGreaterThan(20)
  })
})
