import { readdirSync, rmSync } from 'node:fs'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { writeAdapter } from '../../../src/writer/lifecycle/adapter-files.ts'
import { TableMemory } from '../../../src/tables/memory.ts'
import { makeDataDir } from '../../helpers/data-dir.ts'
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

test('A failed write of an adapter stops all later acknowledgements, as any failed durable write does', async () => {
  const argument = { name: 't', version: 1, rank: 1, dtype: 'float32', precondition: {} } as const
  const { adapterId } = await started.client.call('beginAdapter', argument)
  const { store } = started.writer.storage
  rmSync(store.paths.snapshots, { recursive: true })
  await expect(started.client.call('commitAdapter', { adapterId, alpha: 1 })).rejects.toMatchObject({
    code: 'NOT_READY',
  })
  expect(store.failure).not.toBeNull()
  expect(started.client.registry.find('t').adapters.size).toBe(0)
})
