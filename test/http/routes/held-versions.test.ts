import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { TableInfo } from '../../../src/core/types.ts'
import type { Problem } from '../../../src/http/errors/problem.ts'
import { makeDataDir } from '../../helpers/data-dir.ts'
import { removeTables, type Service, startService } from '../../helpers/service.ts'

const QUOTA_BYTES = 24 * 1024 * 1024
let directory: ReturnType<typeof makeDataDir>
let service: Service
const open = async (): Promise<Service> =>
  startService({ dataDir: directory.dataDir, quotaBytes: QUOTA_BYTES })
beforeAll(async () => {
  directory = makeDataDir()
  service = await open()
})
afterEach(async () => {
  const { aliases } = (await send('GET', 'aliases')).json<{ aliases: { alias: string }[] }>()
  for (const { alias } of aliases) await send('DELETE', `aliases/${alias}`)
  await removeTables(service)
})
afterAll(async () => {
  await service.close()
  directory.remove()
})

const send = (method: 'GET' | 'PUT' | 'PATCH' | 'POST' | 'DELETE', path: string, payload?: object) =>
  service.app.inject({ method, url: `/v1/${path}`, payload })
const put = (value: number) => send('PUT', 'tables/t', { values: [[value]] })
const look = async (name: string) =>
  (await send('POST', `tables/${name}/lookup`, { indices: [0] })).json<{ embeddings: number[][] }>()
    .embeddings
const versions = async () =>
  (await send('GET', 'tables/t/versions')).json<{ versions: { version: number; held_by?: string[] }[] }>()
    .versions
const numbers = async () => (await versions()).map(({ version }) => version)
const infoOf = async () => (await send('GET', 'tables/t')).json<TableInfo>()

describe('A version that an alias names', () => {
  test('stays beyond keep_versions, and descriptions say who holds it', async () => {
    await put(1)
    await send('PUT', 'aliases/old', { table: 't', version: 1 })
    await send('PUT', 'aliases/older', { table: 't', version: 1 })
    for (const value of [2, 3, 4]) await put(value)
    await send('PATCH', 'tables/t', { keep_versions: 1 })
    expect(await look('old')).toEqual([[1]])
    expect(await versions()).toMatchObject([
      { version: 1, held_by: ['old', 'older'], current: false },
      { version: 4, current: true },
    ])
    expect((await versions())[1]).not.toHaveProperty('held_by')
    expect((await infoOf()).held_versions).toEqual([{ version: 1, aliases: ['old', 'older'] }])
  })

  test('leaves when the last alias goes elsewhere or is deleted, and frees its memory', async () => {
    await put(1)
    await send('PUT', 'aliases/a', { table: 't', version: 1 })
    await send('PUT', 'aliases/b', { table: 't', version: 1 })
    for (const value of [2, 3]) await put(value)
    const { reservedBytes } = service.writer.memory
    await send('PUT', 'aliases/a', { table: 't' })
    expect(await numbers()).toEqual([1, 2, 3])
    await send('DELETE', 'aliases/b')
    expect(await numbers()).toEqual([2, 3])
    expect(service.writer.memory.reservedBytes).toBeLessThan(reservedBytes)
    expect(await infoOf()).not.toHaveProperty('held_versions')
  })

  test('is held across a restart, and no longer when it was given up before', async () => {
    await put(1)
    await send('PUT', 'aliases/old', { table: 't', version: 1 })
    for (const value of [2, 3]) await put(value)
    await service.close()
    service = await open()
    expect(await look('old')).toEqual([[1]])
    await put(4)
    expect(await numbers()).toEqual([1, 3, 4])
    await send('DELETE', 'aliases/old')
    await service.close()
    service = await open()
    expect(await numbers()).toEqual([3, 4])
  })

  test('changes the tag of the description when its holders change', async () => {
    await put(1)
    const tags = new Set<unknown>()
    for (const body of [{ table: 't', version: 1 }, { table: 't' }, { table: 't', version: 1 }]) {
      await send('PUT', 'aliases/old', body)
      tags.add((await send('GET', 'tables/t')).headers.etag)
    }
    expect(tags.size).toBe(3)
  })

  test('counts in the quota: an upload for which there is no room is refused, and changes nothing', async () => {
    const large = { rows: 1_000_000, dim: 1 }
    await send('PUT', 'tables/t', large)
    await send('PATCH', 'tables/t', { keep_versions: 1 })
    let held = 0
    let refused: Problem | undefined
    for (let version = 1; version < 9 && refused === undefined; version++) {
      await send('PUT', `aliases/v${version}`, { table: 't', version })
      held++
      const answer = await send('PUT', 'tables/t', large)
      if (answer.statusCode !== 200) refused = answer.json<Problem>()
    }
    expect(refused?.code).toBe('MEMORY_QUOTA_EXCEEDED')
    expect(await numbers()).toEqual(Array.from({ length: held }, (_, i) => i + 1))
  })

  test('goes with its table, and a table made again does not bring it back', async () => {
    await put(1)
    await send('PUT', 'aliases/old', { table: 't', version: 1 })
    expect((await send('DELETE', 'tables/t')).statusCode).toBe(204)
    await put(2)
    expect(await infoOf()).not.toHaveProperty('held_versions')
    expect((await send('GET', 'tables/old')).json<Problem>().code).toBe('VERSION_NOT_FOUND')
  })

  test('never disappears from a reader while its alias is pointed from one version to another', async () => {
    for (const value of [1, 2]) await put(value)
    await send('PUT', 'aliases/live', { table: 't', version: 1 })
    await send('PATCH', 'tables/t', { keep_versions: 1 })
    const flipped = send('PUT', 'aliases/live', { table: 't', version: 2 })
    const answers = await Promise.all(Array.from({ length: 20 }, () => look('live')))
    await flipped
    for (const answer of answers) expect([[[1]], [[2]]]).toContainEqual(answer)
    expect(await numbers()).toEqual([2])
  })
})
