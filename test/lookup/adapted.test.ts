import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { TableAdapter } from '../../src/tables/adapter.ts'
import type { LookupRequest } from '../../src/lookup/request.ts'
import { LIMITS } from '../../src/core/limits.ts'
import { checkAdapted } from '../../src/lookup/plan.ts'
import { createLookupServices, lookup } from '../../src/lookup/lookup.ts'
import type { AdapterHandle } from '../../src/tables/handles.ts'
import { ROWS_AT } from '../../src/layout/table-layout.ts'
import type { TableEntry } from '../../src/tables/registry.ts'
import { ComputePool } from '../../src/workers/pool.ts'
import { putTable, startTestWriter, type TestWriter } from '../helpers/writer.ts'

describe('A lookup with an adapter', () => {
  const handle = { rank: 256 } as AdapterHandle
  const ask = (count: number, options: LookupRequest['options'] = {}): LookupRequest => ({
    indices: new Int32Array(count),
    shape: [count],
    options,
  })

  test('has a limit on its arithmetic', () => {
    const count = LIMITS.adaptedProductCountMax / 256 / 512
    expect(() => checkAdapted(handle, ask(count), 512)).not.toThrow()
    expect(() => checkAdapted(handle, ask(count), 513)).toThrow(
      expect.objectContaining({ code: 'BATCH_TOO_LARGE' }),
    )
  })

  test.each(['float32', 'float16', 'bfloat16', undefined] as const)(
    'may ask for %s, but not for stored int8 rows',
    (dtype) => {
      expect(() => checkAdapted(handle, ask(1, { dtype }), 4)).not.toThrow()
      expect(() => checkAdapted(handle, ask(1, { dtype: 'native' }), 4)).toThrow(
        expect.objectContaining({ code: 'DTYPE_MISMATCH' }),
      )
    },
  )
})

describe('A large lookup with an adapter, whose rows are gathered by the pool', () => {
  const ROWS = 1000
  const DIM = 64
  let service: TestWriter
  let pool: ComputePool
  let entry: TableEntry
  let adapter: TableAdapter
  beforeEach(async () => {
    service = await startTestWriter()
    pool = new ComputePool(1, 64)
    const { client } = service
    const values = Array.from({ length: ROWS * DIM }, (_, i) => (i % 97) - 48)
    await putTable(client, { name: 't', rows: ROWS, dim: DIM, values })
    const argument = { name: 't', version: 1, rank: 1, dtype: 'float32' as const, precondition: {} }
    const { adapterId, a, b } = await client.call('beginAdapter', argument)
    new Float32Array(a[0].memory.buffer, ROWS_AT, ROWS).set(Array.from({ length: ROWS }, (_, row) => row))
    new Float32Array(b.buffer, ROWS_AT, DIM).fill(0.5)
    await client.call('commitAdapter', { adapterId, alpha: 2 })
    entry = client.registry.find('t')
    const found = entry.adapters.get(1)
    if (found === undefined) throw new Error('the adapter is there')
    adapter = found
  })
  afterEach(async () => {
    await pool.close()
    await service.close()
  })

  test('returns the rows of a small lookup, and pins its adapter until it is done', async () => {
    const services = createLookupServices(pool)
    const ids = Int32Array.from({ length: 40_000 }, (_, i) => (i * 7) % ROWS)
    const idleBytes = services.arena.reservedBytes
    const pending = lookup(
      services,
      entry,
      entry.current,
      { indices: ids, shape: [ids.length], options: {} },
      'raw',
    )
    expect(pending).toBeInstanceOf(Promise)
    let isReleased = false
    adapter.factors.retire(() => (isReleased = true))
    expect(isReleased).toBe(false)
    const { body } = await pending
    expect([isReleased, services.arena.reservedBytes]).toEqual([true, idleBytes])
    const rows = new Float32Array(body.bytes.buffer, body.bytes.byteOffset, ids.length * DIM)
    for (let i = 0; i < rows.length; i += 101) {
      const id = ids[Math.floor(i / DIM)]
      expect(rows[i]).toBe(((id * DIM + (i % DIM)) % 97) - 48 + id)
    }
  })
})
