import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openAdapter, type TableAdapter } from '../../src/tables/adapter.ts'
import { Arena } from '../../src/tables/arena.ts'
import { gatherRows } from '../../src/tables/gather.ts'
import { ROWS_AT } from '../../src/layout/table-layout.ts'
import { TableMemory } from '../../src/tables/memory.ts'
import { TableReader } from '../../src/tables/table-reader.ts'
import { dispatchAdapted, dispatchAdaptedBags } from '../../src/workers/dispatch-adapted.ts'

const ROWS = 500
const DIM = 64
const RANK = 128
const memory = new TableMemory(2 ** 30)

const allocate = (rows: number, dim: number): TableReader['handle']['segments'] => {
  const { segments } = memory.allocate(rows, dim * 4)
  const numbers = new Float32Array(segments[0].memory.buffer, ROWS_AT, rows * dim)
  for (let i = 0; i < numbers.length; i++) numbers[i] = ((i * 37) % 101) / 50 - 1
  return segments
}

let reader: TableReader
let adapter: TableAdapter
let arena: Arena
beforeEach(() => {
  reader = new TableReader({
    key: 'v',
    version: 1,
    rows: ROWS,
    dim: DIM,
    dtype: 'float32',
    createdAt: 0,
    segments: allocate(ROWS, DIM),
  })
  const b = allocate(RANK, DIM)[0].memory
  adapter = openAdapter({
    key: 'a',
    version: 1,
    rows: ROWS,
    rank: RANK,
    alpha: 3,
    dtype: 'float32',
    attachedAt: 0,
    a: allocate(ROWS, RANK),
    b,
  })
  arena = new Arena(64 * 1024 * 1024)
})
afterEach(() => expect(arena.reservedBytes).toBe(0))

const floats = (at: number, count: number): Float32Array => arena.float32.slice(at / 4, at / 4 + count)

/** Gathers the rows `ids` into the arena. */
const gather = (ids: number[]) => {
  const region = arena.reserve(ids.length * (DIM * 4 + 4))
  const rowsAt = region.at + Math.ceil((ids.length * 4) / 64) * 64
  arena.int32.set(ids, region.at / 4)
  gatherRows(reader, arena.memory, {
    format: 'float32',
    idsAt: region.at,
    count: ids.length,
    outAt: rowsAt,
    fillAt: 0,
  })
  return { region, idsAt: region.at, rowsAt }
}
const adaptOne = (id: number): Float32Array => {
  const { region, idsAt, rowsAt } = gather([id])
  expect(dispatchAdapted(adapter, arena, { idsAt, count: 1, rowsAt, dim: DIM })).toBeUndefined()
  const row = floats(rowsAt, DIM)
  arena.release(region)
  return row
}

describe('Adding an adapter', () => {
  test('to many rows yields to other tasks, and pins the adapter until it is done', async () => {
    const ids = Array.from({ length: 40_000 }, (_, i) => (i * 7) % ROWS)
    const expected = new Map([...new Set(ids)].map((id) => [id, adaptOne(id)]))
    const { region, idsAt, rowsAt } = gather(ids)
    const pending = dispatchAdapted(adapter, arena, { idsAt, count: ids.length, rowsAt, dim: DIM })
    expect(pending).toBeInstanceOf(Promise)
    let isReleased = false
    adapter.factors.retire(() => (isReleased = true))
    expect(isReleased).toBe(false)
    await pending
    expect(isReleased).toBe(true)
    for (let i = 0; i < ids.length; i += 97)
      expect(floats(rowsAt + i * DIM * 4, DIM)).toEqual(expected.get(ids[i]))
    arena.release(region)
  })

  test('before bags are summed yields to other tasks, and keeps the order of the members', async () => {
    const sizes = [0, 30_000, 1, 0, 9_999]
    const ids = Array.from({ length: 40_000 }, (_, i) => (i * 3) % ROWS)
    const expected = new Map([...new Set(ids)].map((id) => [id, adaptOne(id)]))
    const region = arena.reserve(ids.length * 4 + 1024 + sizes.length * DIM * 4)
    const offsetsAt = region.at + ids.length * 4
    const outAt = offsetsAt + 1024
    arena.int32.set(ids, region.at / 4)
    let end = 0
    arena.int32.set([0, ...sizes.map((size) => (end += size))], offsetsAt / 4)
    const job = {
      operation: 'sum' as const,
      bagCount: sizes.length,
      offsetsAt,
      idsAt: region.at,
      weightsAt: 0,
      fillAt: 64,
      outAt,
    }
    const pending = dispatchAdaptedBags(reader, adapter, arena, job)
    expect(pending).toBeInstanceOf(Promise)
    await pending
    let first = 0
    for (const [bag, size] of sizes.entries()) {
      const sum = new Float32Array(DIM)
      for (let m = first; m < first + size; m++)
        expected.get(ids[m])?.forEach((value, k) => (sum[k] += value))
      expect(floats(outAt + bag * DIM * 4, DIM)).toEqual(sum)
      first += size
    }
    arena.release(region)
  })

  test('is refused without room in the arena, with nothing left reserved or pinned', () => {
    const full = new Arena(65_536)
    expect(() => dispatchAdapted(adapter, full, { idsAt: 64, count: 1, rowsAt: 128, dim: DIM })).toThrow(
      expect.objectContaining({ code: 'OVERLOADED' }),
    )
    expect(full.reservedBytes).toBe(0)
    let isReleased = false
    adapter.factors.retire(() => (isReleased = true))
    expect(isReleased).toBe(true)
  })
})
