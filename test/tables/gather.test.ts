import { Worker } from 'node:worker_threads'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Arena } from '../../src/tables/arena.ts'
import { type GatherJob, gatherRows, gatherUnchecked } from '../../src/tables/gather.ts'
import { STRIPES_AT } from '../../src/layout/table-layout.ts'
import type { TableReader } from '../../src/tables/table-reader.ts'
import { runsOf } from '../helpers/property-runs.ts'
import { putTable, startTestWriter, type TestWriter } from '../helpers/writer.ts'

const HOT_ROWS = 16
const DIM = 512

let service: TestWriter
beforeEach(async () => {
  service = await startTestWriter()
})
afterEach(() => service.close())

/** A writer thread sets all of a row to one number, again and again: a row with two numbers in it is torn. */
const startRowWriter = async (reader: TableReader): Promise<Worker> => {
  const writer = new Worker(new URL('../helpers/row-writer.ts', import.meta.url), {
    workerData: { handle: reader.handle, hotRows: HOT_ROWS },
  })
  await new Promise((resolve) => writer.once('message', resolve))
  return writer
}

const countTorn = (
  read: (reader: TableReader, arena: WebAssembly.Memory, job: GatherJob) => void,
  reader: TableReader,
  batches: number,
  until: number,
) => {
  const arena = new Arena(1024 * 1024)
  const region = arena.reserve(HOT_ROWS * (4 + DIM * 4) + 64)
  const outAt = region.at + 64
  for (let i = 0; i < HOT_ROWS; i++) arena.int32[region.at / 4 + i] = i
  let torn = 0
  let busy = 0
  for (let batch = 0; batch < batches && torn < until; batch++) {
    try {
      read(reader, arena.memory, {
        format: 'stored',
        idsAt: region.at,
        count: HOT_ROWS,
        outAt,
        fillAt: outAt,
      })
    } catch (error) {
      // The writer was descheduled within a row, so that refusing is correct and answering would not be.
      expect(error).toMatchObject({ code: 'OVERLOADED' })
      expect(++busy).toBeLessThan(batches / 2)
      continue
    }
    for (let row = 0; row < HOT_ROWS; row++) {
      const values = arena.float32.subarray(outAt / 4 + row * DIM, outAt / 4 + (row + 1) * DIM)
      if (values.some((value) => value !== values[0])) torn++
    }
  }
  return torn
}

describe('While a writer changes hot rows', () => {
  test('no torn row is read, and without the check some are', async () => {
    await putTable(service.client, { name: 'hot', rows: HOT_ROWS, dim: DIM })
    const reader = service.client.registry.find('hot').current
    const writer = await startRowWriter(reader)
    try {
      expect(countTorn(gatherRows, reader, runsOf({ quick: 1_500, long: 5_000 }), 1)).toBe(0)
      expect(countTorn(gatherUnchecked, reader, 1_000_000, 1)).toBeGreaterThan(0)
    } finally {
      await writer.terminate()
    }
  })

  test('a reader is refused as OVERLOADED for a row that stays locked', async () => {
    await putTable(service.client, { name: 'hot', rows: 2, dim: 1 })
    const reader = service.client.registry.find('hot').current
    const words = new Int32Array(reader.handle.segments[0].memory.buffer)
    const arena = new Arena(65_536)
    const region = arena.reserve(64)
    const job: GatherJob = {
      format: 'stored',
      idsAt: region.at,
      count: 1,
      outAt: region.at + 16,
      fillAt: region.at + 32,
    }
    // These are the words after a writer died within a row.
    words[64 / 4] = 1
    words[STRIPES_AT / 4] = 1
    expect(() => gatherRows(reader, arena.memory, job)).toThrowError(
      expect.objectContaining({ code: 'OVERLOADED' }),
    )
    arena.int32[region.at / 4] = 1
    expect(() => gatherRows(reader, arena.memory, job)).not.toThrow()
  })
})
