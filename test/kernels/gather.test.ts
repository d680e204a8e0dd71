import fc from 'fast-check'
import { describe, expect, test, vi } from 'vitest'
import { PROPERTY_RUNS, PROPERTY_TIMEOUT_MS } from '../helpers/property-runs.ts'
import type { Dtype } from '../../src/core/types.ts'
import { TOUCH_ROWS } from '../../src/kernels/codes.ts'
import { CHECK_ROWS, type RowFormat } from '../../src/kernels/table.ts'
import { rowBytes, ROWS_AT, SPARE_BYTES, STRIPE_COUNT, STRIPES_AT } from '../../src/layout/table-layout.ts'
import { DIMS, makePair } from './pair.ts'

vi.setConfig({ testTimeout: PROPERTY_TIMEOUT_MS })

const DTYPES: Dtype[] = ['float32', 'float16', 'bfloat16', 'int8']
const FORMATS: RowFormat[] = ['stored', 'float32']
const KINDS = DTYPES.flatMap((dtype) => FORMATS.map((format) => ({ dtype, format })))
const PAGE = 65_536
const pair = makePair(16 * PAGE, 16 * PAGE)

interface Segment {
  dtype: Dtype
  dim: number
  firstRow: number
  rowCount: number
}

/**
 * Fills the memories with random bytes, but makes scales and biases numbers and stripe words even (no write
 * under way).
 */
const prepare = (seed: number, { dtype, dim, rowCount }: Segment): void => {
  pair.scramble(seed)
  for (let word = 0; word < STRIPE_COUNT; word++)
    pair.tableView.setUint32(STRIPES_AT + word * 4, word * 2, true)
  for (let row = 0; dtype === 'int8' && row < rowCount; row++) {
    const at = ROWS_AT + row * (dim + 8) + dim
    pair.tableView.setFloat32(at, ((row * 37) % 101) / 7, true)
    pair.tableView.setFloat32(at + 4, ((row * 53) % 89) - 44.3, true)
  }
}

const writeIds = (idsAt: number, ids: number[]): void => {
  for (const [i, id] of ids.entries()) pair.arenaView.setInt32(idsAt + i * 4, id, true)
}

const dims = fc.oneof(fc.constantFrom(...DIMS), fc.integer({ min: 0, max: 300 }), fc.constant(1024))
const segments = fc
  .record({
    kind: fc.constantFrom(...KINDS),
    dim: dims,
    firstRow: fc.constantFrom(0, 1, 5, 1_000_000, 2 ** 31 - 400),
    rowCount: fc.integer({ min: 0, max: 60 }),
  })
  .map(({ kind, ...rest }) => ({ ...rest, ...kind }))
const cases = segments.chain((segment) =>
  fc.record({
    segment: fc.constant(segment),
    ids: fc.array(
      fc.oneof(
        {
          weight: 6,
          arbitrary: fc.integer({
            min: segment.firstRow,
            max: segment.firstRow + Math.max(0, segment.rowCount - 1),
          }),
        },
        { weight: 1, arbitrary: fc.constant(-1) },
        {
          weight: 1,
          arbitrary: fc.integer({ min: segment.firstRow - 3, max: segment.firstRow + segment.rowCount + 3 }),
        },
        { weight: 1, arbitrary: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }) },
      ),
      { maxLength: 150 },
    ),
    fill: fc.boolean(),
    shift: fc.integer({ min: 0, max: 17 }),
    seed: fc.integer(),
  }),
)

describe('the kernel gather', () => {
  const check = (checked: boolean) =>
    fc.property(cases, ({ segment, ids, fill, shift, seed }) => {
      const { format, dtype, dim, firstRow, rowCount } = segment
      prepare(seed, segment)
      const idsAt = 64 + shift
      const fillAt = fill ? 1024 + shift : 0
      const outAt = 8192 + shift
      writeIds(idsAt, ids)
      pair.copy()
      for (const side of [pair.kernels, pair.reference]) {
        if (checked) {
          const start = Math.min(shift, ids.length)
          expect(
            side.gatherChecked(
              format,
              dtype,
              idsAt,
              start,
              ids.length,
              outAt,
              fillAt,
              firstRow,
              rowCount,
              dim,
            ),
          ).toBe(ids.length)
        } else {
          side.gather(format, dtype, idsAt, ids.length, outAt, fillAt, firstRow, rowCount, dim)
        }
      }
      expect(pair.difference()).toBeNull()
    })

  test('equals its reference to the bit, and writes nothing else', () => {
    fc.assert(check(false), { numRuns: PROPERTY_RUNS })
  })

  test('does so with a check of each row when there is no writer', () => {
    fc.assert(check(true), { numRuns: PROPERTY_RUNS })
  })

  test.each(KINDS)(
    'returns $dtype rows as $format for dims around the SIMD width and for whole blocks',
    ({ dtype, format }) => {
      for (const dim of [...DIMS, 1024]) {
        const segment = { dtype, dim, firstRow: 0, rowCount: 2 * TOUCH_ROWS + 1 }
        prepare(dim, segment)
        const ids = Array.from({ length: 2 * TOUCH_ROWS + 3 }, (_, i) => (i * 7) % segment.rowCount)
        writeIds(1, ids)
        pair.copy()
        for (const side of [pair.kernels, pair.reference])
          side.gather(format, dtype, 1, ids.length, 1001, 0, 0, segment.rowCount, dim)
        expect(pair.difference(), `dim ${dim}`).toBeNull()
      }
    },
  )

  test('widens each of the 65,536 float16 values exactly', () => {
    // Stride 1 makes runs of one kind; the others mix zero, normal, subnormal, infinity and NaN.
    for (const stride of [1, 1023, 4099]) {
      const dim = 64
      for (let i = 0; i < 65_536; i++) pair.tableView.setUint16(ROWS_AT + i * 2, (i * stride) & 0xffff, true)
      writeIds(
        64,
        Array.from({ length: 1024 }, (_, i) => i),
      )
      pair.kernels.gather('float32', 'float16', 64, 1024, PAGE, 0, 0, 1024, dim)
      const widened = new Float32Array(pair.arena.buffer, PAGE, 65_536)
      const exact = new Float16Array(pair.table.slice(ROWS_AT, ROWS_AT + 2 * 65_536).buffer)
      expect(widened.findIndex((value, i) => !Object.is(value, exact[i]))).toBe(-1)
    }
  })

  test('fills positions in the order of the request when a table has several segments', () => {
    const dim = 5
    const rows = Array.from({ length: 9 }, (_, row) =>
      Float32Array.from({ length: dim }, (_unused, k) => row + k / 10),
    )
    const tables = [0, 3, 6].map((firstRow) => {
      const table = makePair(PAGE, PAGE)
      for (let row = 0; row < 3; row++)
        table.table.set(new Uint8Array(rows[firstRow + row].buffer), ROWS_AT + row * dim * 4)
      return { firstRow, table }
    })
    const ids = [8, 0, -1, 4, 4, 3, 2, -1, 6]
    const arena = new Uint8Array(ids.length * dim * 4)
    for (const { firstRow, table } of tables) {
      new Int32Array(table.arena.buffer, 64, ids.length).set(ids)
      new Float32Array(table.arena.buffer, 256, dim).fill(-1)
      table.arena.set(arena, 512)
      table.kernels.gather(
        'float32',
        'float32',
        64,
        ids.length,
        512,
        firstRow === 0 ? 256 : 0,
        firstRow,
        3,
        dim,
      )
      arena.set(table.arena.subarray(512, 512 + arena.length))
    }
    const expected = ids.flatMap((id) => (id < 0 ? Array.from({ length: dim }, () => -1) : [...rows[id]]))
    expect([...new Float32Array(arena.buffer)]).toEqual(expected)
  })

  test.each(KINDS)('reads the last $dtype row as $format at the end of the memory', ({ dtype, format }) => {
    const small = makePair(PAGE, PAGE)
    const bytes = rowBytes(1, dtype)
    const rowCount = Math.floor((PAGE - ROWS_AT - SPARE_BYTES) / bytes)
    small.arenaView.setInt32(64, rowCount - 1, true)
    const answerBytes = format === 'stored' ? bytes : 4
    const outAt = PAGE - answerBytes
    small.kernels.gather(format, dtype, 64, 1, outAt, 0, 0, rowCount, 1)
    expect(small.kernels.gatherChecked(format, dtype, 64, 0, 1, outAt, 0, 0, rowCount, 1)).toBe(1)
  })
})

describe('the kernel gatherChecked', () => {
  test.each([1, 16, 100])(
    'stops at the first row being written, and continues there afterwards, dim %i',
    (dim) => {
      const segment = { dtype: 'float32' as const, dim, firstRow: 10, rowCount: 50 }
      prepare(1, segment)
      const ids = Array.from({ length: 3 * CHECK_ROWS }, (_, i) => 10 + (i % 40))
      const busy = CHECK_ROWS + 3
      writeIds(64, ids)
      pair.tableView.setUint32(STRIPES_AT + (ids[busy] - 10) * 4, 7, true)
      pair.copy()
      const run = (start: number): number[] =>
        [pair.kernels, pair.reference].map((side) =>
          side.gatherChecked('stored', 'float32', 64, start, ids.length, 8192, 0, 10, 50, dim),
        )
      expect(run(0)).toEqual([busy, busy])
      expect(pair.difference()).toBeNull()
      pair.tableView.setUint32(STRIPES_AT + (ids[busy] - 10) * 4, 8, true)
      pair.copy()
      expect(run(busy)).toEqual([ids.length, ids.length])
      expect(pair.difference()).toBeNull()
    },
  )

  test('does not stop for rows of other segments that share a busy stripe', () => {
    prepare(2, { dtype: 'float32', dim: 4, firstRow: 0, rowCount: 4 })
    writeIds(64, [0, 1, STRIPE_COUNT + 3, -1])
    pair.tableView.setUint32(STRIPES_AT + 3 * 4, 5, true)
    expect(pair.kernels.gatherChecked('stored', 'float32', 64, 0, 4, 8192, 0, 0, 4, 4)).toBe(4)
  })
})
