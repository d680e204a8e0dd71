import { expect, test } from 'vitest'
import { printRowsPage } from '../../src/export/rows.ts'
import { createLookupServices } from '../../src/lookup/lookup.ts'

const { arena, printer } = createLookupServices(null)

test('A page of rows is JSON with the shortest decimals, and releases its arena memory', () => {
  const before = arena.reservedBytes
  const page = {
    sequence: 0,
    firstRow: 7,
    rowCount: 2,
    values: new Float32Array([0.1, -0, Number.NaN, 1e-45]),
  }
  expect(printRowsPage(page, 2, arena, printer)).toBe(
    '{"rows":[{"index":7,"embedding":[0.1,-0]},{"index":8,"embedding":[null,1e-45]}]}',
  )
  expect(printRowsPage({ ...page, rowCount: 0, values: new Float32Array(0) }, 2, arena, printer)).toBe(
    '{"rows":[]}',
  )
  expect(arena.reservedBytes).toBe(before)
})

test('A page longer than an answer may be is refused, and releases its arena memory', () => {
  const before = arena.reservedBytes
  const [dim, rowCount] = [65_536, 70]
  const page = {
    sequence: 0,
    firstRow: 0,
    rowCount,
    values: new Float32Array(dim * rowCount).fill(-1.2345678e-30),
  }
  expect(() => printRowsPage(page, dim, arena, printer)).toThrow(
    expect.objectContaining({ code: 'BATCH_TOO_LARGE' }),
  )
  expect(arena.reservedBytes).toBe(before)
})
