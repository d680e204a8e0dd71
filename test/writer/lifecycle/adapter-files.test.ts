import { readdirSync, renameSync } from 'node:fs'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { writeAdapter } from '../../../src/writer/lifecycle/adapter-files.ts'
import { TableMemory } from '../../../src/tables/memory.ts'
import { makeDataDir } from '../../helpers/data-dir.ts'
import { update } from '../updates/group-commit-dependencies.ts'
import { putTable, startTestWriter, type TestWriter } from '../../helpers/writer.ts'

let started: TestWriter
beforeEach(async () => {
  started = await startTestWriter()
  await putTable(started.client, { name: 't', rows: 2, dim: 2 })
})
afterEach(() => started.close())

test('When the file of B cannot be written, the file of A is removed', async () => {
  const { dataDir, remove } = makeDataDir()
  try {
    const memory = new TableMemory(1024 * 1024)
    const { segments: a } = memory.allocate(2, 4)
    const broken = {
      get buffer(): never {
        throw new Error('B cannot be read')
      },
    } as unknown as WebAssembly.Memory
    const table = started.writer.find('t')
    const handle = {
      key: 'a1',
      version: 1,
      rows: 2,
      rank: 1,
      alpha: 1,
      dtype: 'float32' as const,
      attachedAt: 0,
      a,
      b: broken,
    }
    const build = { name: 't', precondition: {}, handle, reservedBytes: 0 }
    await expect(writeAdapter(dataDir, table, build, 1, 0)).rejects.toThrow('B cannot be read')
    expect(readdirSync(dataDir)).toEqual([])
  } finally {
    remove()
  }
})

test('Files that cannot be opened refuse an adapter, a snapshot and an upload, and nothing else', async () => {
  const { client, writer } = started
  const argument = { name: 't', version: 1, rank: 1, dtype: 'float32', precondition: {} } as const
  const { adapterId } = await client.call('beginAdapter', argument)
  const { store } = writer.storage
  renameSync(store.paths.snapshots, `${store.paths.snapshots}-elsewhere`)
  const refused = { code: 'NOT_READY', message: expect.stringMatching(/ENOENT.*nothing was changed/) }
  await expect(client.call('commitAdapter', { adapterId, alpha: 1 })).rejects.toMatchObject(refused)
  await expect(putTable(client, { name: 't', rows: 2, dim: 2 })).rejects.toMatchObject(refused)
  expect(client.registry.find('t').adapters.size).toBe(0)
  expect(await client.call('update', update([0], [7, 8], { name: 't' }))).toMatchObject({ sequence: 1 })
  await expect(client.call('snapshot', null)).rejects.toMatchObject(refused)
  expect(store.failure).toBe(null)
  renameSync(`${store.paths.snapshots}-elsewhere`, store.paths.snapshots)
  expect(await client.call('snapshot', null)).toMatchObject({ snapshots: [{ sequence: 1 }] })
  expect(await putTable(client, { name: 't', rows: 2, dim: 2 })).toMatchObject({ version: 2 })
})
