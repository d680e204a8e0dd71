import { describe, expect, test, vi } from 'vitest'
import type { Durability, Optimizer } from '../../../src/core/types.ts'
import { putTable } from '../../helpers/writer.ts'
import * as restart from '../restart.ts'

const {
  crash,
  describeTable,
  duringSnapshot,
  listFolder,
  makeDirectory,
  MANY_ROWS,
  openWriter,
  readNumber,
  readRows,
  send,
} = restart

const adagrad: Optimizer = {
  kind: 'adagrad',
  learning_rate: 1,
  initial_accumulator: 1,
  epsilon: 0,
  epsilon_inside_sqrt: false,
}

const start = async (
  settings: { durability?: Durability; optimizer?: Optimizer; keep_versions?: number } = {},
  rows = 4,
) => {
  const opened = await openWriter(makeDirectory())
  await putTable(opened.client, { name: 'user', rows, dim: 1, settings })
  return opened
}
const snapshot = ({ client }: restart.OpenWriter) => client.call('snapshot', null)
const storedOf = ({ writer }: restart.OpenWriter) => writer.find('user').current.stored
const rangesOf = ({ writer }: restart.OpenWriter) =>
  writer.storage.store.inspectJournal(writer.find('user').id, 1).ranges

describe('A snapshot', () => {
  test('is written for every version that has changed, and for no other', async () => {
    const opened = await start()
    await putTable(opened.client, { name: 'other', rows: 1, dim: 1 })
    await send(opened, [0], [1])
    const { snapshots } = await snapshot(opened)
    expect(snapshots).toEqual([{ table: 'user', version: 1, sequence: 1, bytes: expect.any(Number) }])
    expect(await snapshot(opened)).toEqual({ snapshots: [] })
  })

  test('is one of the two newest that are kept, and files and records that only older ones need are removed', async () => {
    const opened = await start()
    const [upload] = listFolder(opened.dataDir)
    await send(opened, [0], [1])
    await send(opened, [1], [2])
    await snapshot(opened)
    await opened.writer.storage.cleanup.whenIdle()
    expect(listFolder(opened.dataDir)).toContain(upload)
    // A start may still need these records to bring the upload up to date.
    expect(rangesOf(opened)).toEqual([{ first: 1, last: 2 }])
    await send(opened, [2], [3])
    await snapshot(opened)
    await opened.writer.storage.cleanup.whenIdle()
    expect(listFolder(opened.dataDir)).toEqual(
      storedOf(opened)
        .snapshots.map(({ file }) => file)
        .sort(),
    )
    expect(storedOf(opened).snapshots.map(({ startSequence }) => startSequence)).toEqual([2, 3])
    expect(rangesOf(opened)).toEqual([{ first: 3, last: 3 }])
  })

  test.each(['disk', 'os', 'none'] as const)(
    'is whole in mode %s even if rows change while it is written',
    async (durability) => {
      const opened = await start({ durability }, MANY_ROWS)
      await send(opened, [0], [1])
      await duringSnapshot(opened, async () => {
        await send(opened, [0, MANY_ROWS - 1], [2, 3])
        await send(opened, [MANY_ROWS - 1], [4], { operation: 'add' })
      })
      const { sequence } = { sequence: opened.writer.find('user').current.table.readSequence() }
      const again = await openWriter(crash(opened.dataDir))
      expect([0, 1, MANY_ROWS - 1].map((row) => readNumber(again, row))).toEqual([2, 0, 7])
      expect(again.writer.find('user').current.table.readSequence()).toBe(sequence)
      expect(sequence).toBe(3)
    },
  )

  test('restores state that the first gradient created while it was written', async () => {
    const opened = await start({ optimizer: adagrad }, MANY_ROWS)
    await send(opened, [1], [5])
    await duringSnapshot(opened, async () => void (await send(opened, [0], [1], { operation: 'gradients' })))
    const again = await openWriter(crash(opened.dataDir))
    const step = { operation: 'gradients' as const }
    for (const one of [opened, again]) await send(one, [0], [1], step)
    // The accumulators are 1 + 1 and then 2 + 1.
    expect(readNumber(again, 0)).toBeCloseTo(-1 / Math.sqrt(2) - 1 / Math.sqrt(3), 6)
    expect(readNumber(again, 0)).toBe(readNumber(opened, 0))
  })

  test('holds the memory of state that is dropped while it is written, and does not restore that state', async () => {
    const opened = await start({ optimizer: adagrad }, MANY_ROWS)
    const { memory } = opened.writer
    const withoutState = memory.reservedBytes
    await send(opened, [0], [1], { operation: 'gradients' })
    const withState = memory.reservedBytes
    await duringSnapshot(opened, async () => {
      await opened.client.call('patch', {
        name: 'user',
        settings: { optimizer: { kind: 'sgd', learning_rate: 1 } },
        precondition: {},
      })
      expect(memory.reservedBytes).toBe(withState)
    })
    expect(memory.reservedBytes).toBe(withoutState)
    const again = await openWriter(crash(opened.dataDir))
    expect(again.writer.find('user').current).toMatchObject({ state: null })
    expect(again.writer.find('user').current.table.readStep()).toBe(0)
    expect(again.writer.memory.reservedBytes).toBe(withoutState)
  })

  test('of a version that is deleted in between is not listed, and its file is removed', async () => {
    const opened = await start({}, MANY_ROWS)
    await send(opened, [0], [1])
    const table = opened.writer.find('user')
    const taken = opened.writer.storage.snapshots.take(table, table.current)
    await opened.client.call('remove', { name: 'user', precondition: {} })
    expect(await taken).toBeNull()
    await opened.writer.storage.cleanup.whenIdle()
    expect(listFolder(opened.dataDir)).toEqual([])
    expect(opened.writer.storage.store.load().snapshots).toEqual([])
    expect(await opened.writer.storage.snapshots.take(table, table.current)).toBeNull()
  })

  test('is not listed for a new table of the same name that replaced its table in between', async () => {
    const opened = await start({}, MANY_ROWS)
    const table = opened.writer.find('user')
    const taken = opened.writer.storage.snapshots.take(table, table.current)
    await opened.client.call('remove', { name: 'user', precondition: {} })
    await putTable(opened.client, { name: 'user', rows: 2, dim: 1, values: [1, 2] })
    expect(await taken).toBeNull()
    const again = await openWriter(crash(opened.dataDir))
    expect(readRows(again)).toEqual([[1], [2]])
  })

  test('that ends between the journaling and the publication of an adapter loses neither', async () => {
    const opened = await start({}, 4)
    const table = opened.writer.find('user')
    const begin = { name: 'user', version: 1, rank: 1, dtype: 'float32' as const, precondition: {} }
    const { adapterId } = await opened.client.call('beginAdapter', begin)
    // An HTTP worker is slow to acknowledge.
    const gate = Promise.withResolvers<void>()
    const { httpWorkers } = opened.writer
    const publish = httpWorkers.publish.bind(httpWorkers)
    const slow = vi
      .spyOn(httpWorkers, 'publish')
      .mockImplementation((...what) => gate.promise.then(() => publish(...what)))
    const attached = opened.client.call('commitAdapter', { adapterId, alpha: 1 })
    await expect.poll(() => slow.mock.calls.length, { timeout: 10_000 }).toBe(1)
    await opened.writer.storage.snapshots.take(table, table.current)
    gate.resolve()
    await attached
    await opened.client.call('dropAdapter', { name: 'user', precondition: {} })
    expect(await send(opened, [0], [7])).toMatchObject({ sequence: 3 })
    const again = await openWriter(crash(opened.dataDir))
    expect([readRows(again)[0], again.writer.find('user').current.table.readSequence()]).toEqual([[7], 3])
  })
})

describe('An automatic snapshot', () => {
  test('is taken of the version with the largest journal when that exceeds the limit', async () => {
    const opened = await openWriter(makeDirectory(), { snapshotJournalBytes: 1_000 })
    for (const name of ['a', 'b']) await putTable(opened.client, { name, rows: 200, dim: 1 })
    const rows = Array.from({ length: 200 }, (_, i) => i)
    await send(opened, [0], [1], { name: 'a' })
    await send(opened, rows, rows, { name: 'b' })
    const starts = (name: string) =>
      opened.writer.find(name).current.stored.snapshots.map(({ startSequence }) => startSequence)
    await expect.poll(() => starts('b'), { timeout: 10_000 }).toEqual([0, 1])
    expect(starts('a')).toEqual([0])
    expect(opened.writer.find('b').current.stored.journalBytes).toBe(0)
    expect(opened.errors).toEqual([])
  })

  test('is taken of a changed version when its last snapshot is old', async () => {
    const opened = await openWriter(makeDirectory(), { snapshotAgeMs: 1 })
    await putTable(opened.client, { name: 'changed', rows: 1, dim: 1, settings: { durability: 'none' } })
    await putTable(opened.client, { name: 'same', rows: 1, dim: 1 })
    await send(opened, [0], [1], { name: 'changed' })
    const counts = () =>
      ['changed', 'same'].map((name) => opened.writer.find(name).current.stored.snapshots.length)
    await expect.poll(counts, { timeout: 10_000 }).toEqual([2, 1])
    expect(readRows(await openWriter(crash(opened.dataDir)), 'changed')).toEqual([[1]])
  })

  test('is taken when the writer closes, so that the next start replays nothing and mode none loses nothing', async () => {
    const opened = await start({ durability: 'none' })
    await putTable(opened.client, { name: 'disk', rows: 2, dim: 1 })
    await send(opened, [0], [1])
    await send(opened, [0], [2], { name: 'disk' })
    const before = ['user', 'disk'].map((name) => describeTable(opened, name))
    await opened.close()
    const again = await openWriter(opened.dataDir)
    expect(['user', 'disk'].map((name) => describeTable(again, name))).toEqual(before)
    expect(['user', 'disk'].map((name) => again.writer.find(name).current.stored.journalBytes)).toEqual([
      0, 0,
    ])
  })

  test('is aborted when closing takes too long, and then leaves no file and loses no update', async () => {
    const opened = await start({}, MANY_ROWS)
    await send(opened, [0], [1])
    const [upload] = listFolder(opened.dataDir)
    const timeout = vi.spyOn(globalThis, 'setTimeout').mockImplementation(((run: () => void) => {
      setImmediate(run)
    }) as never)
    await opened.close()
    timeout.mockRestore()
    expect(opened.errors).toEqual([])
    expect(listFolder(opened.dataDir)).toEqual([upload])
    expect(readNumber(await openWriter(opened.dataDir), 0)).toBe(1)
  })
})

test('Pruning keeps the records between start and end of a snapshot, without which rows would be lost', async () => {
  const opened = await start({}, MANY_ROWS)
  await send(opened, [0], [1])
  for (const value of [2, 3])
    await duringSnapshot(opened, async () => void (await send(opened, [MANY_ROWS - 1], [value])))
  await opened.writer.storage.cleanup.whenIdle()
  const { snapshots } = storedOf(opened)
  expect(snapshots.map(({ startSequence, endSequence }) => [startSequence, endSequence])).toEqual([
    [1, 2],
    [2, 3],
  ])
  expect(rangesOf(opened)).toEqual([{ first: 2, last: 3 }])
})
