import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { LIMITS } from '../../../src/core/limits.ts'
import type { Optimizer } from '../../../src/core/types.ts'
import type { UpdateArguments, UpdateResult } from '../../../src/writer/protocol.ts'
import { makeGroupCommit, readVersion, type GroupCommitSetup, update } from './group-commit-dependencies.ts'
import { runsOf } from '../../helpers/property-runs.ts'

let parts: GroupCommitSetup
let nowMs = 0
beforeEach(() => {
  parts = makeGroupCommit()
  // A batch also ends by time, and a busy machine may take that time: here the clock stands still.
  vi.spyOn(performance, 'now').mockImplementation(() => nowMs)
})
afterEach(() => {
  expect(parts.arena.reservedBytes, 'the scratch is given back').toBe(0)
  expect(parts.fatal).toEqual([])
  parts.close()
  vi.restoreAllMocks()
})

/** Everything in one batch; a refusal is its code. */
const submitAll = (updates: UpdateArguments[]): Promise<(UpdateResult | string)[]> =>
  Promise.all(
    updates.map(async (one) => {
      try {
        return await parts.groupCommit.submit(one)
      } catch (error) {
        return (error as { code: string }).code
      }
    }),
  )

const OPTIMIZERS: Optimizer[] = [
  { kind: 'sgd', learning_rate: 0.5, weight_decay: 0.25 },
  { kind: 'momentum', learning_rate: 0.5, momentum: 0.9, nesterov: true },
  {
    kind: 'adagrad',
    learning_rate: 0.5,
    initial_accumulator: 0.5,
    epsilon: 1e-3,
    epsilon_inside_sqrt: false,
  },
  {
    kind: 'rowwise_adagrad',
    learning_rate: 0.5,
    initial_accumulator: 0,
    epsilon: 1e-3,
    epsilon_inside_sqrt: true,
  },
  { kind: 'adam', learning_rate: 0.1, beta1: 0.9, beta2: 0.99, epsilon: 1e-3 },
]
const ROWS = 6
const DIM = 3

const anyUpdate: fc.Arbitrary<UpdateArguments> = fc
  .record({
    operation: fc.constantFrom('gradients' as const, 'gradients' as const, 'set' as const, 'add' as const),
    indices: fc.array(fc.integer({ min: 0, max: ROWS - 1 }), { maxLength: 5 }),
    numbers: fc.array(fc.integer({ min: -40, max: 40 }), { minLength: 5 * DIM, maxLength: 5 * DIM }),
    // Some are refused: they are not finite in float16, or outside.
    spoiled: fc.constantFrom(false, false, false, false, 'values' as const, 'index' as const),
    learningRate: fc.constantFrom(undefined, 0.125),
  })
  .map(({ operation, indices, numbers, spoiled, learningRate }) => {
    const rows = spoiled === 'index' ? [...indices.slice(0, 4), ROWS] : indices
    const values = numbers.slice(0, rows.length * DIM).map((number) => number / 8)
    if (spoiled === 'values' && values.length > 0) values[values.length - 1] = 3e38
    return update(rows, values, { operation, learningRate })
  })

/** A record as it would be written over the table; hexadecimal rows. */
const lastImages = (tableId: number): Map<number, string> => {
  const images = new Map<number, string>()
  for (const { ids, rows, rowBytes } of parts.store.readJournal(tableId, 1, 0))
    ids.forEach((row, i) =>
      images.set(row, Buffer.from(rows.subarray(i * rowBytes, (i + 1) * rowBytes)).toString('hex')),
    )
  return images
}

describe('Updates of one batch', () => {
  test('see each other: all together are the same as one by one without a journal, whatever the optimizer', async () => {
    const property = fc.asyncProperty(
      fc.constantFrom(...OPTIMIZERS),
      fc.constantFrom('float32' as const, 'float16' as const, 'bfloat16' as const),
      fc.constantFrom('disk' as const, 'os' as const),
      fc.array(anyUpdate, { minLength: 2, maxLength: 8 }),
      async (optimizer, dtype, durability, updates) => {
        const alone = parts.add({ name: 'alone', rows: ROWS, dim: DIM, dtype, optimizer, durability: 'none' })
        const table = parts.add({ rows: ROWS, dim: DIM, dtype, optimizer, durability })
        const expected: (UpdateResult | string)[] = []
        for (const one of updates) expected.push(...(await submitAll([{ ...one, name: 'alone' }])))
        const before = parts.commits[durability]
        const results = await submitAll(updates)
        expect(results).toEqual(
          expected.map((one) => (typeof one === 'string' ? one : { ...one, durability })),
        )
        expect(readVersion(table.current)).toEqual(readVersion(alone.current))
        // One that names no rows waits for the disk all the same, and is answered in its place.
        expect(parts.commits[durability] - before).toBe(
          expected.every((one) => typeof one === 'string') ? 0 : 1,
        )
        const { rows } = readVersion(alone.current)
        for (const [row, image] of lastImages(table.id)) expect(image).toBe(rows[row])
        const changed = results.filter((one) => typeof one !== 'string' && one.rowsUpdated > 0)
        expect([...parts.store.readJournal(table.id, 1, 0)].map(({ sequence }) => sequence)).toEqual(
          changed.map((_, i) => i + 1),
        )
      },
    )
    await fc.assert(property, { numRuns: runsOf({ quick: 50, long: 1_500 }) })
  })

  test('take steps of adam one after another: the second counts the first', async () => {
    const adam: Optimizer = { kind: 'adam', learning_rate: 1, beta1: 0.5, beta2: 0.75, epsilon: 0 }
    const table = parts.add({ dim: 1, optimizer: adam })
    const step = update([0], [4], { operation: 'gradients' })
    await submitAll([step, step])
    // Equal gradients: every bias-corrected step of adam without epsilon is the learning rate.
    const { step: steps, rows } = readVersion(table.current)
    expect([steps, Buffer.from(rows[0], 'hex').readFloatLE()]).toEqual([2, -2])
  })

  test('are journaled by one transaction for each log, in the order in which they came', async () => {
    const tables = (['disk', 'os', 'disk'] as const).map((durability, i) =>
      parts.add({ name: `t${i}`, dim: 1, durability }),
    )
    const results = await submitAll([0, 1, 2, 0, 1, 2].map((i, at) => update([0], [at], { name: `t${i}` })))
    expect(parts.commits).toEqual({ disk: 1, os: 1 })
    expect(results.map((one) => (one as UpdateResult).sequence)).toEqual([1, 1, 1, 2, 2, 2])
    for (const { id } of tables)
      expect([...parts.store.readJournal(id, 1, 0)].map(({ sequence }) => sequence)).toEqual([1, 2])
  })

  test('are not journaled, and wait for nothing, in a table of mode none', async () => {
    const table = parts.add({ dim: 1, durability: 'none' })
    await submitAll([update([0], [1]), update([0], [2], { operation: 'add' })])
    expect(parts.commits).toEqual({ disk: 0, os: 0 })
    expect(readVersion(table.current)).toMatchObject({
      sequence: 2,
      rows: expect.arrayContaining(['00004040']),
    })
  })

  test('of mode none are journaled while a snapshot runs', async () => {
    const table = parts.add({ dim: 1, durability: 'none' })
    await submitAll([update([0], [1])])
    table.current.stored.journalPins++
    await submitAll([update([0], [2]), update([1], [3])])
    table.current.stored.journalPins--
    await submitAll([update([0], [4])])
    expect(parts.store.inspectJournal(table.id, 1)).toEqual({ ranges: [{ first: 2, last: 3 }], promised: 0 })
    expect(parts.commits).toEqual({ disk: 0, os: 1 })
  })

  test('see each other in the conditions, too', async () => {
    parts.add({ dim: 1 })
    const next = (sequence: number) =>
      update([0], [1], { operation: 'add', precondition: { ifMatch: [`1-${sequence}`] } })
    const results = await submitAll([next(0), next(0), next(1)])
    expect(results.map((one) => (typeof one === 'string' ? one : one.sequence))).toEqual([
      1,
      'PRECONDITION_FAILED',
      2,
    ])
  })

  test('are all refused, and change nothing, when their transaction fails; the next batch begins where they did', async () => {
    const table = parts.add({ dim: 1 })
    await submitAll([update([0], [1])])
    const before = readVersion(table.current)
    const commit = vi.spyOn(parts.store, 'commit').mockImplementationOnce(() => {
      throw Object.assign(new Error('full'), { code: 'DISK_FULL' })
    })
    expect(await submitAll([update([0], [2]), update([1], [3])])).toEqual(['DISK_FULL', 'DISK_FULL'])
    expect(readVersion(table.current)).toEqual(before)
    expect(commit).toHaveBeenCalledTimes(1)
    expect(await submitAll([update([0], [5], { operation: 'add' })])).toMatchObject([{ sequence: 2 }])
    expect(readVersion(table.current).rows[0]).toBe('0000c040')
  })
})

describe('An update', () => {
  test('is visible only when its transaction is durable', async () => {
    const table = parts.add({ dim: 1 })
    const commit = parts.store.commit
    const seen: number[] = []
    vi.spyOn(parts.store, 'commit').mockImplementation((batch) => {
      commit(batch)
      seen.push(table.current.table.readSequence())
    })
    const [result] = await submitAll([update([0], [1])])
    expect([seen, result]).toEqual([[0], expect.objectContaining({ sequence: 1 })])
  })

  test('whose deadline passes while it waits is refused, and the others are not', async () => {
    parts.add({ dim: 1 })
    const results = await submitAll([
      update([0], [1], { deadlineAt: Date.now() - 1 }),
      update([0], [1], { deadlineAt: Date.now() + 60_000 }),
    ])
    expect(results).toEqual(['DEADLINE_EXCEEDED', expect.objectContaining({ sequence: 1 })])
  })

  test('is refused when too many bytes wait, and taken again when they do not', async () => {
    parts.add({ rows: 2, dim: 65_536, durability: 'none' })
    const rows = Array.from({ length: 16 }, () => 0)
    const large = update(rows, [], { values: new Float32Array(16 * 65_536) })
    const fitting = Math.floor(
      LIMITS.updateBytesInFlightMax / (large.values.byteLength + large.indices.byteLength),
    )
    const results = await submitAll(Array.from({ length: fitting + 1 }, () => large))
    expect(results.map((one) => typeof one)).toEqual([
      ...Array.from({ length: fitting }, () => 'object'),
      'string',
    ])
    expect(results.at(-1)).toBe('OVERLOADED')
    expect(await submitAll([large])).toMatchObject([{ sequence: fitting + 1 }])
  })

  test('waits for the next batch when the bytes of one are used up, and sees the one before it', async () => {
    const table = parts.add({ rows: 2, dim: 65_536 })
    const rows = Array.from({ length: 16 }, () => 0)
    const large = update(rows, [], { operation: 'add', values: new Float32Array(16 * 65_536).fill(1) })
    const count = 2 + Math.ceil(LIMITS.commitBatchBytesMax / large.values.byteLength)
    await submitAll(Array.from({ length: count }, () => large))
    expect(parts.commits.disk).toBeGreaterThan(1)
    expect(readVersion(table.current).rows[0].slice(0, 8)).toBe(
      Buffer.from(Float32Array.of(16 * count).buffer).toString('hex'),
    )
  })

  test('waits for the next batch when the time of one is used up', async () => {
    parts.add({ dim: 1 })
    vi.spyOn(performance, 'now').mockImplementation(() => (nowMs += LIMITS.commitBatchMsMax + 1))
    expect(await submitAll([update([0], [1]), update([0], [2]), update([0], [3])])).toMatchObject([
      { sequence: 1 },
      { sequence: 2 },
      { sequence: 3 },
    ])
    expect(parts.commits.disk).toBe(3)
  })

  test('is refused while the journal is full', async () => {
    parts.add({ dim: 1 })
    vi.spyOn(parts.store, 'journalBytes').mockReturnValue(LIMITS.journalBytesMax + 1)
    expect(await submitAll([update([0], [1])])).toEqual(['OVERLOADED'])
  })

  test('is what closing waits for', async () => {
    const table = parts.add({ dim: 1 })
    await parts.groupCommit.whenIdle()
    const submitted = parts.groupCommit.submit(update([0], [1]))
    await parts.groupCommit.whenIdle()
    expect(table.current.table.readSequence()).toBe(1)
    await submitted
  })
})
