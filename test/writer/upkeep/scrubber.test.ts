import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { StoredDataRefusal } from '../../../src/storage/refusals.ts'
import { Scrubber } from '../../../src/writer/upkeep/scrubber.ts'
import { makeDataDir } from '../../helpers/data-dir.ts'
import { putTable, readTable, startTestWriter, type TestWriter } from '../../helpers/writer.ts'

let own: ReturnType<typeof makeDataDir>
let service: TestWriter
let scrubber: Scrubber
const errors: unknown[] = []

beforeEach(async () => {
  own = makeDataDir()
  service = await startTestWriter({ dataDir: own.dataDir })
  errors.length = 0
  await putTable(service.client, { name: 'user', rows: 2, dim: 2, values: [1, 2, 3, 4] })
  const { store, snapshots } = service.writer.storage
  scrubber = new Scrubber({
    store,
    snapshots,
    tables: service.writer.tables,
    onError: (error) => errors.push(error),
    everyMs: 0,
    tickMs: 5,
  })
})
afterEach(async () => {
  await scrubber.close()
  await service.close()
  own.remove()
})

const listed = () => service.writer.find('user').current.stored.snapshots
const pathOf = ({ file }: { file: string }): string => join(own.dataDir, 'snapshots', file)
const damage = (snapshot: { file: string }): Buffer => {
  const bytes = readFileSync(pathOf(snapshot))
  bytes[bytes.length - 20] ^= 1
  writeFileSync(pathOf(snapshot), bytes)
  return bytes
}

test('A snapshot file that is damaged while the service runs is reported and replaced by a whole one', async () => {
  const [first] = listed()
  damage(first)
  await expect.poll(() => listed().includes(first)).toBe(false)
  expect(errors[0]).toBeInstanceOf(StoredDataRefusal)
  expect(String(errors[0])).toContain(first.file)
  await scrubber.close()
  await service.close()
  service = await startTestWriter({ dataDir: own.dataDir })
  expect(readTable(service.client, 'user')).toEqual([
    [1, 2],
    [3, 4],
  ])
})

test('A damaged snapshot file is kept under another name, and a start leaves it there', async () => {
  const [first] = listed()
  const bytes = damage(first)
  await expect.poll(() => listed().includes(first)).toBe(false)
  await scrubber.close()
  await service.close()
  service = await startTestWriter({ dataDir: own.dataDir })
  expect(existsSync(pathOf(first))).toBe(false)
  expect(readFileSync(`${pathOf(first)}.damaged`).equals(bytes)).toBe(true)
})

test('A damaged snapshot is no longer listed and the whole one beside it stays', async () => {
  const { snapshots } = service.writer.storage
  const table = service.writer.find('user')
  await snapshots.take(table, table.current)
  const [older, newer] = listed()
  damage(newer)
  await expect.poll(() => listed().includes(newer)).toBe(false)
  expect(listed()).toContain(older)
})

test('Whole snapshot files are not changed', async () => {
  const before = listed()
  await new Promise((resolve) => setTimeout(resolve, 50))
  expect(listed()).toEqual(before)
  expect(errors).toEqual([])
})
