import { describe, expect, test } from 'vitest'
import type { Optimizer, Settings } from '../../../src/core/types.ts'
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

const start = async (settings: Partial<Settings> = {}, values = [1, 2]) => {
  const opened = await openWriter(makeDirectory())
  await putTable(opened.client, { name: 'user', rows: values.length, dim: 1, values, settings })
  return opened
}
const put = ({ client }: restart.OpenWriter, values: number[], settings: Partial<Settings> = {}) =>
  putTable(client, { name: 'user', rows: values.length, dim: 1, values, settings })
const patch = ({ client }: restart.OpenWriter, settings: Partial<Settings>) =>
  client.call('patch', { name: 'user', settings, precondition: {} })
const rollBack = ({ client }: restart.OpenWriter, version: number) =>
  client.call('rollback', { name: 'user', version, precondition: {} })
const whenIdle = ({ writer }: restart.OpenWriter) => writer.storage.cleanup.whenIdle()
const after = async (opened: restart.OpenWriter) => openWriter(crash(opened.dataDir))
const sgd: Optimizer = { kind: 'sgd', learning_rate: 1 }
const adam: Optimizer = { kind: 'adam', learning_rate: 1, beta1: 0.5, beta2: 0.5, epsilon: 0 }
const gradients = { operation: 'gradients' as const }

describe('After a crash', () => {
  test('an answered upload exists with its settings, times and numbers', async () => {
    const opened = await start({ padding_index: 1, keep_versions: 3, durability: 'os', optimizer: adam })
    await put(opened, [5, 6, 7])
    const expected = describeTable(opened)
    const again = await after(opened)
    expect(describeTable(again)).toEqual(expected)
    expect([readRows(again), readRows(again, 'user', 1)]).toEqual([
      [[5], [6], [7]],
      [[1], [2]],
    ])
    expect(again.client.registry.find('user').record).toMatchObject({
      current: 2,
      settings: expected.settings,
      changedAt: expected.changedAt,
    })
  })

  test('an upload that was not committed has left nothing', async () => {
    const opened = await start()
    await opened.client.call('beginBuild', {
      name: 'user',
      rows: 9,
      dim: 9,
      dtype: 'float32',
      settings: {},
      precondition: {},
    })
    const again = await after(opened)
    expect(describeTable(again)).toEqual(describeTable(opened))
    expect(listFolder(again.dataDir)).toHaveLength(1)
  })

  test('changed settings have their new values', async () => {
    const opened = await start()
    await patch(opened, { out_of_range: 'clip', durability: 'os' })
    expect(describeTable(await after(opened))).toEqual(describeTable(opened))
  })

  test('the version of a rollback is current, with its updates before and after the rollback', async () => {
    const opened = await start({ keep_versions: 3 })
    await send(opened, [0], [10])
    await put(opened, [5, 6])
    await send(opened, [0], [50])
    await rollBack(opened, 1)
    await send(opened, [1], [20])
    const again = await after(opened)
    expect(describeTable(again)).toEqual(describeTable(opened))
    expect([readRows(again), readRows(again, 'user', 2)]).toEqual([
      [[10], [20]],
      [[50], [6]],
    ])
    // The number of a version is never used again.
    expect(await put(again, [9])).toMatchObject({ version: 3 })
  })

  test('a deleted table does not exist, and a new table of the same name has none of its data', async () => {
    const opened = await start()
    await send(opened, [0], [10])
    await opened.client.call('remove', { name: 'user', precondition: {} })
    expect((await after(opened)).writer.tables.size).toBe(0)
    await put(opened, [3, 4])
    const again = await after(opened)
    expect(describeTable(again)).toEqual(describeTable(opened))
    expect(describeTable(again)).toMatchObject({ highest: 2, versions: [{ sequence: 0 }] })
  })

  test('the steps of sgd and adam continue from their count', async () => {
    const opened = await start({ optimizer: adam }, [0])
    await send(opened, [0], [2], gradients)
    const again = await after(opened)
    for (const one of [opened, again]) await send(one, [0], [2], gradients)
    expect(describeTable(again).versions[0]).toMatchObject({ step: 2, sequence: 2 })
    // With equal gradients each bias-corrected step equals the learning rate.
    expect(readNumber(again, 0)).toBe(-2)
    const other = await start({ optimizer: sgd }, [0])
    await send(other, [0], [2], gradients)
    expect(describeTable(await after(other)).versions[0]).toMatchObject({ step: 1, sequence: 1 })
  })
})

describe('A replacement', () => {
  test('removes the files, records and listings of the versions that it retires', async () => {
    const opened = await start({ keep_versions: 1 })
    const [upload] = listFolder(opened.dataDir)
    await send(opened, [0], [10])
    await put(opened, [3])
    await whenIdle(opened)
    expect(listFolder(opened.dataDir)).toEqual(
      opened.writer.find('user').current.stored.snapshots.map(({ file }) => file),
    )
    expect(listFolder(opened.dataDir)).not.toContain(upload)
    expect(opened.writer.storage.store.journalStreams()).toEqual([])
    expect(opened.writer.storage.store.load().versions).toMatchObject([{ version: 2 }])
    expect(describeTable(await after(opened))).toEqual(describeTable(opened))
  })

  test('delays no update: one that arrives while the new rows are written changes the previous version', async () => {
    const opened = await start()
    const begin = {
      name: 'user',
      rows: MANY_ROWS,
      dim: 1,
      dtype: 'float32' as const,
      settings: {},
      precondition: {},
    }
    const { buildId } = await opened.client.call('beginBuild', begin)
    const committed = opened.client.call('commitBuild', { buildId })
    expect(await send(opened, [0], [7])).toMatchObject({ version: 1, sequence: 1 })
    expect(await committed).toMatchObject({ created: false, version: 2 })
    expect([readNumber(opened, 0), readRows(opened, 'user', 1)]).toEqual([0, [[7], [2]]])
    expect(readRows(await after(opened), 'user', 1)).toEqual([[7], [2]])
  })

  test('is refused and leaves no file when an update has changed the sequence that its condition names', async () => {
    const opened = await start()
    const rows = MANY_ROWS
    const begin = {
      name: 'user',
      rows,
      dim: 1,
      dtype: 'float32' as const,
      settings: {},
      precondition: { ifMatch: ['1-0'] },
    }
    const { buildId } = await opened.client.call('beginBuild', begin)
    const reservedBytes = opened.writer.memory.reservedBytes
    const committed = opened.client.call('commitBuild', { buildId })
    await send(opened, [0], [7])
    await expect(committed).rejects.toMatchObject({ code: 'PRECONDITION_FAILED' })
    await whenIdle(opened)
    expect(listFolder(opened.dataDir)).toHaveLength(1)
    expect(opened.writer.memory.reservedBytes).toBeLessThan(reservedBytes)
  })

  test('that would create a table is refused when an alias has taken the name in between', async () => {
    const opened = await start()
    const begin = { name: 'new', rows: 1, dim: 1, dtype: 'float32' as const, settings: {}, precondition: {} }
    const { buildId } = await opened.client.call('beginBuild', begin)
    await opened.client.call('putAlias', { alias: 'new', table: 'user', version: null })
    await expect(opened.client.call('commitBuild', { buildId })).rejects.toMatchObject({
      code: 'INVALID_REQUEST',
    })
    expect([...opened.writer.tables.keys()]).toEqual(['user'])
    await whenIdle(opened)
    expect(listFolder(opened.dataDir)).toHaveLength(1)
  })
})

describe('A change of mode', () => {
  test('from none to disk first writes the updates that were not journaled, so that none is lost', async () => {
    const opened = await start({ durability: 'none', keep_versions: 3 })
    await send(opened, [0], [10])
    await put(opened, [3, 4])
    await send(opened, [1], [40], restart.keyOf('a'))
    await patch(opened, { durability: 'disk' })
    await send(opened, [0], [30])
    const again = await after(opened)
    expect(describeTable(again)).toEqual(describeTable(opened))
    expect([readRows(again), readRows(again, 'user', 1)]).toEqual([
      [[30], [40]],
      [[10], [2]],
    ])
    expect(await send(again, [1], [40], restart.keyOf('a'))).toMatchObject({ replayed: true })
  })

  test('in a replacement first writes the earlier versions, so that a rollback to one takes durable updates', async () => {
    const opened = await start({ durability: 'none' })
    await send(opened, [0], [5])
    await put(opened, [7, 8], { durability: 'disk' })
    await rollBack(opened, 1)
    await send(opened, [1], [9])
    const again = await after(opened)
    expect(readRows(again)).toEqual([[5], [9]])
    expect(again.client.registry.find('user').current.readSequence()).toBe(2)
  })

  test('from none to os loses no update that arrives while its snapshot is written', async () => {
    const opened = await openWriter(makeDirectory())
    await putTable(opened.client, { name: 'user', rows: MANY_ROWS, dim: 1, settings: { durability: 'none' } })
    await send(opened, [0], [1])
    const patched = patch(opened, { durability: 'os' })
    await send(opened, [1], [2], restart.keyOf('a'))
    await patched
    const again = await after(opened)
    expect([0, 1].map((row) => readNumber(again, row))).toEqual([1, 2])
    expect(await send(again, [1], [2], restart.keyOf('a'))).toMatchObject({ replayed: true })
  })

  test('from none to disk loses no update of a version whose snapshot is complete while the next is written', async () => {
    const opened = await start({ durability: 'none', keep_versions: 3 })
    await send(opened, [0], [10])
    await putTable(opened.client, { name: 'user', rows: MANY_ROWS, dim: 1 })
    await send(opened, [0], [20])
    await rollBack(opened, 1)
    const [first, second] = [1, 2].map((number) => opened.writer.find('user').versions.get(number)?.stored)
    const patched = patch(opened, { durability: 'disk' })
    while (first?.snapshots.length !== 2) await new Promise(setImmediate)
    await send(opened, [1], [30], restart.keyOf('a'))
    expect(second?.snapshots.length, 'the other version is still being written').toBe(1)
    await patched
    await send(opened, [0], [40])
    const again = await after(opened)
    expect(readRows(again)).toEqual([[40], [30]])
    expect(await send(again, [1], [30], restart.keyOf('a'))).toMatchObject({ replayed: true })
  })

  test('to none and back leaves a gap in the journal that no start refuses', async () => {
    const opened = await start()
    await send(opened, [0], [10])
    await patch(opened, { durability: 'none' })
    await send(opened, [0], [20])
    expect(readRows(await after(opened))).toEqual([[10], [2]])
    await patch(opened, { durability: 'disk' })
    await send(opened, [1], [30])
    const again = await after(opened)
    expect(describeTable(again)).toEqual(describeTable(opened))
    expect(again.warnings).toEqual([])
  })
})

test.each(['journal', 'snapshot'])(
  'Existing optimizer state keeps its initial value, even when it is restored from the %s',
  async (source) => {
    const adagrad: Optimizer = {
      kind: 'adagrad',
      learning_rate: 1,
      initial_accumulator: 3,
      epsilon: 0,
      epsilon_inside_sqrt: false,
    }
    const opened = await start({ optimizer: adagrad }, [0, 0])
    await send(opened, [0], [1], gradients)
    if (source === 'snapshot') await opened.client.call('snapshot', null)
    await patch(opened, { optimizer: { ...adagrad, initial_accumulator: 99 } })
    const again = await after(opened)
    await send(again, [1], [1], gradients)
    // Both move by 1 / sqrt(3 + 1).
    expect(readRows(again)).toEqual([[-0.5], [-0.5]])
  },
)

describe('A change of the optimizer kind', () => {
  const withState = async () => {
    const opened = await start({ optimizer: adam, keep_versions: 3 }, [0, 0])
    await send(opened, [0], [2], gradients)
    return opened
  }

  test('drops state and steps for good, even when the first kind is set again', async () => {
    const opened = await withState()
    await patch(opened, { optimizer: sgd })
    await patch(opened, { optimizer: adam })
    const again = await after(opened)
    expect(describeTable(again)).toEqual(describeTable(opened))
    expect(describeTable(again).versions).toMatchObject([{ state: null, step: 0, sequence: 1 }])
    for (const one of [opened, again]) await send(one, [0, 1], [2, 2], gradients)
    // Both rows take a first step, row 0 from its earlier value.
    expect(readRows(again)).toEqual([[-2], [-1]])
    expect(describeTable(again).versions).toEqual(describeTable(opened).versions)
  })

  test('drops the state from snapshots that hold it, too', async () => {
    const opened = await withState()
    await opened.client.call('snapshot', null)
    await patch(opened, { optimizer: sgd })
    await patch(opened, { optimizer: adam })
    expect(describeTable(await after(opened)).versions).toMatchObject([{ state: null, step: 0 }])
  })

  test('in a replacement drops the state of the earlier versions', async () => {
    const opened = await withState()
    await put(opened, [7, 7], { optimizer: sgd })
    await rollBack(opened, 1)
    const again = await after(opened)
    expect(describeTable(again)).toEqual(describeTable(opened))
    expect(describeTable(again).versions).toMatchObject([{ state: null, step: 0 }, { state: null }])
  })

  test('while a snapshot of the state is written drops the state from that snapshot', async () => {
    const opened = await openWriter(makeDirectory())
    await putTable(opened.client, { name: 'user', rows: MANY_ROWS, dim: 1, settings: { optimizer: adam } })
    await send(opened, [0], [2], gradients)
    await duringSnapshot(opened, async () => {
      await patch(opened, { optimizer: sgd })
      await patch(opened, { optimizer: adam })
      await send(opened, [1], [2], gradients)
    })
    const again = await after(opened)
    for (const one of [opened, again]) await send(one, [0, 1], [2, 2], gradients)
    expect([0, 1].map((row) => readNumber(again, row))).toEqual([0, 1].map((row) => readNumber(opened, row)))
    expect(again.writer.find('user').current.table.readStep()).toBe(2)
  })
})
