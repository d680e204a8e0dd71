import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { LIMITS } from '../../../src/core/limits.ts'
import type { Optimizer } from '../../../src/core/types.ts'
import type { UpdateArguments, UpdateResult } from '../../../src/writer/protocol.ts'
import { makeGroupCommit, readVersion, type GroupCommitSetup, update } from './group-commit-dependencies.ts'
import { runsOf } from '../../helpers/property-runs.ts'

let setup: GroupCommitSetup
let nowMs = 0
beforeEach(() => {
  setup = makeGroupCommit()
  // A batch also ends after a time, which a busy machine may exceed, so the clock stands still here.
  vi.spyOn(performance, 'now').mockImplementation(() => nowMs)
})
afterEach(() => {
  expect(setup.arena.reservedBytes, 'the workspace is released').toBe(0)
  expect(setup.fatal).toEqual([])
  setup.close()
  vi.restoreAllMocks()
})

/** Submits the updates as one batch. Returns the code of a refused update in place of its result. */
const submitAll = (updates: UpdateArguments[]): Promise<(UpdateResult | string)[]> =>
  Promise.all(
    updates.map(async (one) => {
      try {
        return await setup.groupCommit.submit(one)
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
    // Some updates are refused: a value is not finite in float16, or an index is out of range.
    spoiled: fc.constantFrom(false, false, false, false, 'values' as const, 'index' as const),
    learningRate: fc.constantFrom(undefined, 0.125),
  })
  .map(({ operation, indices, numbers, spoiled, learningRate }) => {
    const rows = spoiled === 'index' ? [...indices.slice(0, 4), ROWS] : indices
    const values = numbers.slice(0, rows.length * DIM).map((number) => number / 8)
    if (spoiled === 'values' && values.length > 0) values[values.length - 1] = 3e38
    return update(rows, values, { operation, learningRate })
  })

/** Returns the last journaled post-image of each row, in hexadecimal. */
const lastImages = (tableId: number): Map<number, string> => {
  const images = new Map<number, string>()
  for (const { ids, rows, rowBytes } of setup.store.readJournal(tableId, 1, 0))
    ids.forEach((row, i) =>
      images.set(row, Buffer.from(rows.subarray(i * rowBytes, (i + 1) * rowBytes)).toString('hex')),
    )
  return images
}

describe('Updates of one batch', () => {
  test('see each other, and have the same result as one by one without a journal, for each optimizer', async () => {
    const property = fc.asyncProperty(
      fc.constantFrom(...OPTIMIZERS),
      fc.constantFrom('float32' as const, 'float16' as const, 'bfloat16' as const),
      fc.constantFrom('disk' as const, 'os' as const),
      fc.array(anyUpdate, { minLength: 2, maxLength: 8 }),
      async (optimizer, dtype, durability, updates) => {
        const alone = setup.add({ name: 'alone', rows: ROWS, dim: DIM, dtype, optimizer, durability: 'none' })
        const table = setup.add({ rows: ROWS, dim: DIM, dtype, optimizer, durability })
        const expected: (UpdateResult | string)[] = []
        for (const one of updates) expected.push(...(await submitAll([{ ...one, name: 'alone' }])))
        const before = setup.commits[durability]
        const results = await submitAll(updates)
        expect(results).toEqual(
          expected.map((one) => (typeof one === 'string' ? one : { ...one, durability })),
        )
        expect(readVersion(table.current)).toEqual(readVersion(alone.current))
        // An update without rows waits for the disk, too, and is answered in order.
        expect(setup.commits[durability] - before).toBe(
          expected.every((one) => typeof one === 'string') ? 0 : 1,
        )
        const { rows } = readVersion(alone.current)
        for (const [row, image] of lastImages(table.id)) expect(image).toBe(rows[row])
        const changed = results.filter((one) => typeof one !== 'string' && one.rowsUpdated > 0)
        expect([...setup.store.readJournal(table.id, 1, 0)].map(({ sequence }) => sequence)).toEqual(
          changed.map((_, i) => i + 1),
        )
      },
    )
    await fc.assert(property, { numRuns: runsOf({ quick: 50, long: 1_500 }) })
  })

  test('take steps of adam one after another, so that the second one counts the first', async () => {
    const adam: Optimizer = { kind: 'adam', learning_rate: 1, beta1: 0.5, beta2: 0.75, epsilon: 0 }
    const table = setup.add({ dim: 1, optimizer: adam })
    const step = update([0], [4], { operation: 'gradients' })
    await submitAll([step, step])
    // With equal gradients each bias-corrected step of adam without epsilon is the learning rate.
    const { step: steps, rows } = readVersion(table.current)
    expect([steps, Buffer.from(rows[0], 'hex').readFloatLE()]).toEqual([2, -2])
  })

  test('are journaled by one transaction for each log, in their order of arrival', async () => {
    const tables = (['disk', 'os', 'disk'] as const).map((durability, i) =>
      setup.add({ name: `t${i}`, dim: 1, durability }),
    )
    const results = await submitAll([0, 1, 2, 0, 1, 2].map((i, at) => update([0], [at], { name: `t${i}` })))
    expect(setup.commits).toEqual({ disk: 1, os: 1 })
    expect(results.map((one) => (one as UpdateResult).sequence)).toEqual([1, 1, 1, 2, 2, 2])
    for (const { id } of tables)
      expect([...setup.store.readJournal(id, 1, 0)].map(({ sequence }) => sequence)).toEqual([1, 2])
  })

  test('of a table of mode none are not journaled and do not wait for the disk', async () => {
    const table = setup.add({ dim: 1, durability: 'none' })
    await submitAll([update([0], [1]), update([0], [2], { operation: 'add' })])
    expect(setup.commits).toEqual({ disk: 0, os: 0 })
    expect(readVersion(table.current)).toMatchObject({
      sequence: 2,
      rows: expect.arrayContaining(['00004040']),
    })
  })

  test('of mode none are journaled while a snapshot runs', async () => {
    const table = setup.add({ dim: 1, durability: 'none' })
    await submitAll([update([0], [1])])
    table.current.stored.journalPins++
    await submitAll([update([0], [2]), update([1], [3])])
    table.current.stored.journalPins--
    await submitAll([update([0], [4])])
    expect(setup.store.inspectJournal(table.id, 1)).toEqual({ ranges: [{ first: 2, last: 3 }], promised: 0 })
    expect(setup.commits).toEqual({ disk: 0, os: 1 })
  })

  test('have conditions that see the earlier updates of the batch', async () => {
    setup.add({ dim: 1 })
    const next = (sequence: number) =>
      update([0], [1], { operation: 'add', precondition: { ifMatch: [`1-${sequence}`] } })
    const results = await submitAll([next(0), next(0), next(1)])
    expect(results.map((one) => (typeof one === 'string' ? one : one.sequence))).toEqual([
      1,
      'PRECONDITION_FAILED',
      2,
    ])
  })

  test('are all refused and change nothing when their transaction fails, and the next batch succeeds', async () => {
    const table = setup.add({ dim: 1 })
    await submitAll([update([0], [1])])
    const before = readVersion(table.current)
    const commit = vi.spyOn(setup.store, 'commit').mockImplementationOnce(() => {
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
    const table = setup.add({ dim: 1 })
    const commit = setup.store.commit
    const seen: number[] = []
    vi.spyOn(setup.store, 'commit').mockImplementation((batch) => {
      commit(batch)
      seen.push(table.current.table.readSequence())
    })
    const [result] = await submitAll([update([0], [1])])
    expect([seen, result]).toEqual([[0], expect.objectContaining({ sequence: 1 })])
  })

  test('is refused when its deadline passes while it waits, and the others of the batch are not', async () => {
    setup.add({ dim: 1 })
    const results = await submitAll([
      update([0], [1], { deadlineAt: Date.now() - 1 }),
      update([0], [1], { deadlineAt: Date.now() + 60_000 }),
    ])
    expect(results).toEqual(['DEADLINE_EXCEEDED', expect.objectContaining({ sequence: 1 })])
  })

  test('is refused while too many bytes wait, and accepted afterwards', async () => {
    setup.add({ rows: 2, dim: 65_536, durability: 'none' })
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

  test('waits for the next batch when one has reached its limit of bytes, and sees the batch before it', async () => {
    const table = setup.add({ rows: 2, dim: 65_536 })
    const rows = Array.from({ length: 16 }, () => 0)
    const large = update(rows, [], { operation: 'add', values: new Float32Array(16 * 65_536).fill(1) })
    const count = 2 + Math.ceil(LIMITS.commitBatchBytesMax / large.values.byteLength)
    await submitAll(Array.from({ length: count }, () => large))
    expect(setup.commits.disk).toBeGreaterThan(1)
    expect(readVersion(table.current).rows[0].slice(0, 8)).toBe(
      Buffer.from(Float32Array.of(16 * count).buffer).toString('hex'),
    )
  })

  test('waits for the next batch when one has reached its limit of time', async () => {
    setup.add({ dim: 1 })
    vi.spyOn(performance, 'now').mockImplementation(() => (nowMs += LIMITS.commitBatchMsMax + 1))
    expect(await submitAll([update([0], [1]), update([0], [2]), update([0], [3])])).toMatchObject([
      { sequence: 1 },
      { sequence: 2 },
      { sequence: 3 },
    ])
    expect(setup.commits.disk).toBe(3)
  })

  test('is refused while the journal is full', async () => {
    setup.add({ dim: 1 })
    vi.spyOn(setup.store, 'journalBytes').mockReturnValue(LIMITS.journalBytesMax + 1)
    expect(await submitAll([update([0], [1])])).toEqual(['OVERLOADED'])
  })

  test('is finished before whenIdle() resolves', async () => {
    const table = setup.add({ dim: 1 })
    await setup.groupCommit.whenIdle()
    const submitted = setup.groupCommit.submit(update([0], [1]))
    await setup.groupCommit.whenIdle()
    expect(table.current.table.readSequence()).toBe(1)
    await submitted
  })
})
