import { Worker } from 'node:worker_threads'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type BagOperation, instantiateBagKernels } from '../../src/kernels/bag.ts'
import { makeReferenceBagKernels } from '../../src/kernels/reference/bag.ts'
import { Arena } from '../../src/tables/arena.ts'
import { BAG_SCRATCH_BYTES, type BagJob, poolRows } from '../../src/tables/bags.ts'
import { LOCK_AT, STRIPES_AT } from '../../src/layout/table-layout.ts'
import { FILL_ROW } from '../../src/tables/resolve.ts'
import type { TableReader } from '../../src/tables/table-reader.ts'
import { runsOf } from '../helpers/property-runs.ts'
import { putTable, startTestWriter, type TestWriter } from '../helpers/writer.ts'

let service: TestWriter
beforeEach(async () => {
  service = await startTestWriter({ segmentBytesMax: 65_536 })
})
afterEach(() => service.close())

const putRows = async (name: string, rows: number, dim: number): Promise<TableReader> => {
  await putTable(service.client, {
    name,
    rows,
    dim,
    values: Float32Array.from({ length: rows * dim }, (_, i) => Math.sin(i) * 100),
  })
  return service.client.registry.find(name).current
}

interface Wanted {
  sizes: number[]
  ids: number[]
  weights?: number[]
}

/** Runs a job in a new arena, and returns its answer. */
const makeJob = (dim: number, operation: BagOperation, { sizes, ids, weights }: Wanted) => {
  const arena = new Arena(8 * 1024 * 1024)
  const idsAt = arena.reserve(ids.length * 4).at
  const offsetsAt = arena.reserve((sizes.length + 1) * 4).at
  const weightsAt = weights === undefined ? 0 : arena.reserve(ids.length * 4).at
  const fillAt = arena.reserve(dim * 4).at
  const outAt = arena.reserve(sizes.length * dim * 4).at
  const scratchAt = arena.reserve(BAG_SCRATCH_BYTES).at
  arena.int32.set(ids, idsAt / 4)
  for (const [bag, size] of sizes.entries())
    arena.int32[offsetsAt / 4 + bag + 1] = arena.int32[offsetsAt / 4 + bag] + size
  if (weights !== undefined) arena.float32.set(weights, weightsAt / 4)
  arena.float32.fill(0.25, fillAt / 4, fillAt / 4 + dim)
  const job: BagJob = {
    kind: 'bags',
    operation,
    bagCount: sizes.length,
    offsetsAt,
    idsAt,
    weightsAt,
    fillAt,
    outAt,
    scratchAt,
  }
  const answer = () => arena.float32.slice(outAt / 4, outAt / 4 + sizes.length * dim)
  return { arena, job, answer }
}

/** The answer of the reference over one memory with all rows. */
const poolReference = async (
  rows: number,
  dim: number,
  operation: BagOperation,
  wanted: Wanted,
): Promise<Float32Array> => {
  const whole = await startTestWriter()
  try {
    await putTable(whole.client, {
      name: 'whole',
      rows,
      dim,
      values: Float32Array.from({ length: rows * dim }, (_, i) => Math.sin(i) * 100),
    })
    const { arena, job, answer } = makeJob(dim, operation, wanted)
    const table = whole.client.registry.find('whole').current.handle.segments[0].memory.buffer
    makeReferenceBagKernels(table, arena.memory.buffer).pool(
      { ...job, dim },
      { ...job, dtype: 'float32', firstRow: 0, rowCount: rows },
    )
    return answer()
  } finally {
    whole.close()
  }
}

const OPERATIONS: BagOperation[] = ['sum', 'mean', 'max', 'sqrtn']

describe('A table of several segments', () => {
  test.each(OPERATIONS)(
    'is pooled as %s in the order of the members for rows in any segments',
    async (operation) => {
      const [rows, dim] = [1000, 33]
      const reader = await putRows('words', rows, dim)
      expect(reader.handle.segments.length).toBeGreaterThan(2)
      const sizes = [3, 0, 50, 1, 0, 246]
      const ids = Array.from({ length: 300 }, (_, m) => (m % 41 === 7 ? FILL_ROW : (m * 337) % rows))
      const wanted: Wanted = {
        sizes,
        ids,
        ...(operation !== 'max' && { weights: ids.map((_, m) => (m % 7) - 2.5) }),
      }
      const { arena, job, answer } = makeJob(dim, operation, wanted)
      poolRows(reader, arena.memory, job)
      expect(answer()).toEqual(await poolReference(rows, dim, operation, wanted))
    },
  )

  test('is pooled block by block, with bags that begin and end anywhere in a block', async () => {
    const dim = 8192
    const blockMembers = BAG_SCRATCH_BYTES / (dim * 4)
    expect(blockMembers).toBe(8)
    const reader = await putRows('wide', 6, dim)
    expect(reader.handle.segments.length).toBe(6)
    for (const sizes of [[8, 8], [7, 1, 1, 7], [0, 8, 0, 8, 0], [20, 0, 0, 4], [3, 25, 0], [0], [0, 0]]) {
      const count = sizes.reduce((sum, size) => sum + size, 0)
      const wanted = { sizes, ids: Array.from({ length: count }, (_, m) => (m * 5) % 6) }
      for (const operation of ['mean', 'max'] as const) {
        const { arena, job, answer } = makeJob(dim, operation, wanted)
        arena.float32.fill(7, job.outAt / 4, job.outAt / 4 + sizes.length * dim)
        poolRows(reader, arena.memory, job)
        expect(answer(), `${operation} ${sizes.join()}`).toEqual(
          await poolReference(6, dim, operation, wanted),
        )
      }
    }
  })
})

describe('While a writer changes rows', () => {
  const wanted = { sizes: [2, 1], ids: [0, 1, 1] }

  test('bags are pooled row by row with the same result', async () => {
    const reader = await putRows('words', 4, 5)
    const words = new Int32Array(reader.handle.segments[0].memory.buffer)
    words[LOCK_AT / 4] = 1
    const { arena, job, answer } = makeJob(5, 'sum', wanted)
    poolRows(reader, arena.memory, job)
    expect(answer()).toEqual(await poolReference(4, 5, 'sum', wanted))
  })

  test('a row that stays locked is refused as OVERLOADED', async () => {
    const reader = await putRows('words', 4, 5)
    const words = new Int32Array(reader.handle.segments[0].memory.buffer)
    // These are the words after a writer died while it wrote row 1.
    words[LOCK_AT / 4] = 1
    words[STRIPES_AT / 4 + 1] = 1
    const { arena, job } = makeJob(5, 'sum', wanted)
    expect(() => poolRows(reader, arena.memory, job)).toThrowError(
      expect.objectContaining({ code: 'OVERLOADED' }),
    )
    arena.int32.set([0, 2, 3], job.idsAt / 4)
    expect(() => poolRows(reader, arena.memory, job)).not.toThrow()
  })

  test('no torn row is pooled, and without the check some are', async () => {
    const dim = 512
    const hotRows = 16
    await putTable(service.client, { name: 'hot', rows: hotRows, dim })
    const reader = service.client.registry.find('hot').current
    const sizes = Array.from({ length: hotRows }, () => 1)
    const { arena, job, answer } = makeJob(dim, 'sum', { sizes, ids: sizes.map((_, row) => row) })
    const kernels = instantiateBagKernels(reader.handle.segments[0].memory, arena.memory)
    const unchecked = () =>
      kernels.pool({ ...job, dim }, { ...job, dtype: 'float32', firstRow: 0, rowCount: hotRows })
    // This writer never pauses. On a busy machine it may be descheduled within a row for longer than a reader
    // waits.
    const checked = () => {
      for (;;) {
        try {
          return poolRows(reader, arena.memory, job)
        } catch (error) {
          expect(error).toMatchObject({ code: 'OVERLOADED' })
        }
      }
    }
    const countTorn = (read: () => void, roundsMax: number): number => {
      let torn = 0
      for (let round = 0; round < roundsMax && torn === 0; round++) {
        read()
        const values = answer()
        torn += sizes.filter((_, row) =>
          values.subarray(row * dim, (row + 1) * dim).some((value) => value !== values[row * dim]),
        ).length
      }
      return torn
    }
    const url = new URL('../helpers/row-writer.ts', import.meta.url)
    const writer = new Worker(url, { workerData: { handle: reader.handle, hotRows } })
    try {
      await new Promise((resolve) => writer.once('message', resolve))
      expect(countTorn(checked, runsOf({ quick: 1_500, long: 5_000 }))).toBe(0)
      expect(countTorn(unchecked, 1_000_000)).toBeGreaterThan(0)
    } finally {
      await writer.terminate()
    }
  })
})
