import { Worker } from 'node:worker_threads'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Dtype } from '../../src/core/types.ts'
import { readRows } from '../../src/export/rows.ts'
import { Arena } from '../../src/tables/arena.ts'
import { PAGE_BYTES } from '../../src/layout/table-layout.ts'
import { TableReader } from '../../src/tables/table-reader.ts'
import { createTable } from '../../src/upload/create.ts'
import { runsOf } from '../helpers/property-runs.ts'
import { startTestWriter, type TestWriter } from '../helpers/writer.ts'

const READ_COUNT = runsOf({ quick: 100, long: 300 })

let service: TestWriter
const arena = new Arena(8 * 1024 * 1024)
beforeEach(async () => {
  service = await startTestWriter({ segmentBytesMax: 8 * PAGE_BYTES })
})
afterEach(() => service.close())

const makeTable = async (rows: number, dim: number, dtype: Dtype = 'float32') => {
  const values = new Float32Array(rows * dim)
  for (let row = 0; row < rows; row++) values.fill(row, row * dim, (row + 1) * dim)
  await createTable(service.client, arena, {
    name: 'user',
    rows,
    dim,
    dtype,
    source: { values },
    settings: {},
    precondition: {},
  })
  return service.client.registry.find('user').current
}

/**
 * Reads a page while a writer never pauses; null when the read is refused as OVERLOADED, which is correct
 * here.
 */
const readBusy = (reader: TableReader) => {
  try {
    return readRows(reader, arena, 0, 16)
  } catch (error) {
    expect(error).toMatchObject({ code: 'OVERLOADED' })
    return null
  }
}

describe('A page of rows', () => {
  test('has the existing rows of its range', async () => {
    const reader = await makeTable(5, 2)
    expect(readRows(reader, arena, 1, 3)).toEqual({
      sequence: 0,
      firstRow: 1,
      rowCount: 3,
      values: Float32Array.of(1, 1, 2, 2, 3, 3),
    })
    expect(readRows(reader, arena, 4, 10)).toMatchObject({ rowCount: 1, values: Float32Array.of(4, 4) })
    for (const [offset, limit] of [
      [5, 10],
      [1000, 10],
      [0, 0],
    ])
      expect(readRows(reader, arena, offset, limit)).toMatchObject({ rowCount: 0 })
  })

  test('is float32 for every dtype', async () => {
    for (const dtype of ['float32', 'float16', 'bfloat16', 'int8'] as const) {
      expect(Array.from(readRows(await makeTable(3, 3, dtype), arena, 2, 1).values), dtype).toEqual([2, 2, 2])
    }
  })

  test('of wide rows in many segments needs little arena memory', async () => {
    const small = new Arena(1536 * 1024)
    const reader = await makeTable(100, 30_001)
    expect(reader.handle.segments.length).toBeGreaterThan(5)
    const { values } = readRows(reader, small, 10, 90)
    for (let row = 0; row < 90; row++) {
      const found = values.subarray(row * 30_001, (row + 1) * 30_001)
      expect([found.length, found.every((value) => value === 10 + row)], `row ${row}`).toEqual([30_001, true])
    }
    expect(small.reservedBytes).toBe(0)
  })

  test('states a sequence that its rows have reached at least', async () => {
    const reader = await makeTable(2, 1)
    await service.client.call('update', {
      name: 'user',
      operation: 'set',
      indices: Int32Array.of(1),
      values: Float32Array.of(9),
      precondition: {},
    })
    expect(readRows(reader, arena, 0, 2)).toMatchObject({ sequence: 1, values: Float32Array.of(0, 9) })
  })

  test('never contains a half-written row', async () => {
    const { handle } = await makeTable(16, 1000)
    const worker = new Worker(new URL('../helpers/row-writer.ts', import.meta.url), {
      workerData: { handle, hotRows: 16 },
    })
    try {
      await new Promise((resolve) => worker.once('message', resolve))
      const reader = new TableReader(handle)
      let readCount = 0
      for (let round = 0; round < 500 && readCount < READ_COUNT; round++) {
        const page = readBusy(reader)
        if (page === null) continue
        readCount += 1
        for (let row = 0; row < 16; row++) {
          const first = page.values[row * 1000]
          expect(page.values.subarray(row * 1000, (row + 1) * 1000).every((value) => value === first)).toBe(
            true,
          )
        }
      }
      expect(readCount).toBeGreaterThan(0)
    } finally {
      await worker.terminate()
    }
  })
})
