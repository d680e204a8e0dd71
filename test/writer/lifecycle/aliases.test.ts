import { beforeEach, describe, expect, test, vi } from 'vitest'
import { LIMITS } from '../../../src/core/limits.ts'
import { putTable } from '../../helpers/writer.ts'
import { crash, makeDirectory, type OpenWriter, openWriter } from '../restart.ts'

let opened: OpenWriter
beforeEach(async () => {
  opened = await openWriter(makeDirectory())
  for (const value of [1, 2])
    await putTable(opened.client, { name: 'user', rows: 1, dim: 1, values: [value] })
})
const put = (alias: string, table = 'user', version: number | null = null) =>
  opened.client.call('putAlias', { alias, table, version })
const remove = (alias: string) => opened.client.call('removeAlias', { alias })

describe('An alias', () => {
  test('resolves on every HTTP worker once it is answered, and follows a second PUT and a deletion', async () => {
    const other = opened.connect()
    expect(await put('latest')).toEqual({ created: true })
    expect(other.registry.find('latest').current.handle.version).toBe(2)
    expect(await put('latest', 'user', 1)).toEqual({ created: false })
    expect(other.registry.find('latest').current.handle.version).toBe(1)
    await remove('latest')
    expect(other.registry.aliases()).toEqual([])
  })

  test('survives a crash as it was last answered', async () => {
    await put('a')
    await put('b', 'user', 1)
    await put('a', 'user', 2)
    await put('c')
    await remove('c')
    const again = await openWriter(crash(opened.dataDir))
    expect(again.client.registry.aliases()).toEqual([
      { alias: 'a', table: 'user', version: 2 },
      { alias: 'b', table: 'user', version: 1 },
    ])
    expect(again.client.registry.find('b').current.handle.version).toBe(1)
  })

  test('outlives its table, even across a restart, and then names the next table of that name', async () => {
    await put('latest')
    await opened.client.call('remove', { name: 'user', precondition: {} })
    const again = await openWriter(crash(opened.dataDir))
    expect(() => again.client.registry.find('latest')).toThrow(
      expect.objectContaining({ code: 'TABLE_NOT_FOUND' }),
    )
    await putTable(again.client, { name: 'user', rows: 1, dim: 1, values: [9] })
    expect(again.client.registry.find('latest').current.handle.version).toBe(3)
  })

  test('is refused unless its table and version exist', async () => {
    await expect(put('a', 'none')).rejects.toMatchObject({ code: 'TABLE_NOT_FOUND' })
    await expect(put('a', 'user', 7)).rejects.toMatchObject({ code: 'VERSION_NOT_FOUND' })
    await expect(remove('a')).rejects.toMatchObject({ code: 'ALIAS_NOT_FOUND' })
    expect(opened.writer.storage.store.load().aliases).toEqual([])
  })

  test('never has the same name as a table', async () => {
    await expect(put('user')).rejects.toMatchObject({ code: 'INVALID_REQUEST' })
    await put('latest')
    await expect(putTable(opened.client, { name: 'latest', rows: 1, dim: 1 })).rejects.toMatchObject({
      code: 'INVALID_REQUEST',
    })
  })

  test('is refused when there are too many, but one that exists may still be changed', async () => {
    await put('a')
    vi.spyOn(opened.writer.aliases, 'size', 'get').mockReturnValue(LIMITS.aliasCountMax)
    await expect(put('b')).rejects.toMatchObject({ code: 'INVALID_REQUEST' })
    expect(await put('a', 'user', 1)).toEqual({ created: false })
    vi.restoreAllMocks()
  })
})
