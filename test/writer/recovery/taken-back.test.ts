import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, test } from 'vitest'
import type { Durability } from '../../../src/core/types.ts'
import { putTable } from '../../helpers/writer.ts'
import { crash, keyOf, makeDirectory, type OpenWriter, openWriter, readRows, send } from '../restart.ts'
import { damageFile, dropRecords, snapshotsOf } from './damage.ts'

const add = { operation: 'add' as const }
const start = async (durability: Durability): Promise<OpenWriter> => {
  const opened = await openWriter(makeDirectory())
  await putTable(opened.client, { name: 'user', rows: 1, dim: 1, settings: { durability } })
  return opened
}
const addKeyed = (opened: OpenWriter, key: string) => send(opened, [0], [1], { ...add, ...keyOf(key, 'add') })
const sequenceOf = ({ writer }: OpenWriter) => writer.find('user').current.table.readSequence()

/** Runs SQL in one database of a directory that is closed. */
const runSql = (dataDir: string, file: string, sql: string): void => {
  const database = new DatabaseSync(join(dataDir, file))
  database.exec(sql)
  database.close()
}

describe('The key of an update that a start has taken back', () => {
  test('applies the update again after going back before a missing record', async () => {
    const opened = await start('disk')
    for (const key of ['a', 'b', 'c']) await addKeyed(opened, key)
    const image = crash(opened.dataDir)
    dropRecords(image, [2])
    const again = await openWriter(image, { goesBack: true })
    expect([readRows(again), sequenceOf(again)]).toEqual([[[1]], 1])
    expect(await addKeyed(again, 'a')).toMatchObject({ replayed: true, sequence: 1 })
    for (const key of ['b', 'c']) expect(await addKeyed(again, key)).toMatchObject({ replayed: false })
    expect(readRows(again)).toEqual([[3]])
    // The new results are remembered, also after the next start.
    const third = await openWriter(crash(image))
    for (const key of ['a', 'b', 'c']) expect(await addKeyed(third, key)).toMatchObject({ replayed: true })
    expect(readRows(third)).toEqual([[3]])
  })

  test('applies it again when a table of mode none falls back to an older snapshot', async () => {
    const opened = await start('none')
    await addKeyed(opened, 'a')
    await opened.client.call('snapshot', null)
    await addKeyed(opened, 'b')
    await opened.client.call('snapshot', null)
    const image = crash(opened.dataDir)
    damageFile(image, snapshotsOf(opened)[1].file, 'flipped')
    const again = await openWriter(image, { goesBack: true })
    expect(readRows(again)).toEqual([[1]])
    expect(await addKeyed(again, 'a')).toMatchObject({ replayed: true })
    expect(await addKeyed(again, 'b')).toMatchObject({ replayed: false })
    expect(readRows(again)).toEqual([[2]])
  })

  test('applies it again when its key is in the other database than the lost record', async () => {
    const opened = await start('os')
    await addKeyed(opened, 'a')
    await addKeyed(opened, 'b')
    await opened.close()
    // The key of the second update moves to catalog.db; its record is lost with os.db.
    const image = opened.dataDir
    runSql(
      image,
      'catalog.db',
      `ATTACH '${join(image, 'os.db')}' AS os; INSERT INTO keys SELECT * FROM os.keys`,
    )
    runSql(image, 'os.db', 'DELETE FROM keys')
    damageFile(image, snapshotsOf(opened)[1].file, 'flipped')
    dropRecords(image, [2], 'os.db')
    const again = await openWriter(image, { goesBack: true })
    expect(readRows(again)).toEqual([[1]])
    expect(await addKeyed(again, 'b')).toMatchObject({ replayed: false })
    expect(readRows(again)).toEqual([[2]])
  })
})

describe('A sequence', () => {
  test.each(['none', 'os'] as const)('is never given out again after a crash (%s)', async (durability) => {
    const opened = await start(durability)
    for (let i = 0; i < 3; i++) await send(opened, [0], [i])
    let image = crash(opened.dataDir)
    // The machine lost what was not synced.
    if (durability === 'os') runSql(image, 'os.db', 'DELETE FROM journal')
    const given = new Set([1, 2, 3])
    for (let round = 0; round < 3; round++) {
      const again = await openWriter(image)
      for (let i = 0; i < 2; i++) {
        const { sequence } = await send(again, [0], [10 * round + i])
        expect(given).not.toContain(sequence)
        given.add(sequence)
      }
      image = crash(image)
    }
  })

  test('goes on by one after a clean stop, and after a crash that lost nothing', async () => {
    for (const durability of ['none', 'os', 'disk'] as const) {
      const opened = await start(durability)
      await send(opened, [0], [1])
      await opened.close()
      const again = await openWriter(opened.dataDir)
      expect(await send(again, [0], [2])).toMatchObject({ sequence: 2 })
    }
    const opened = await start('disk')
    await send(opened, [0], [1])
    const again = await openWriter(crash(opened.dataDir))
    expect(await send(again, [0], [2])).toMatchObject({ sequence: 2 })
  })

  test('that was skipped leaves no gap for later starts, also through snapshots and an adapter', async () => {
    const opened = await start('none')
    await send(opened, [0], [1])
    const again = await openWriter(crash(opened.dataDir))
    await again.client.call('patch', { name: 'user', settings: { durability: 'disk' }, precondition: {} })
    await send(again, [0], [5])
    const begin = { name: 'user', version: 1, rank: 1, dtype: 'float32' as const, precondition: {} }
    const { adapterId } = await again.client.call('beginAdapter', begin)
    await again.client.call('commitAdapter', { adapterId, alpha: 1 })
    const third = await openWriter(crash(again.dataDir))
    expect([readRows(third), sequenceOf(third)]).toEqual([[[5]], 65_538])
    await third.client.call('snapshot', null)
    const fourth = await openWriter(crash(third.dataDir))
    expect([readRows(fourth), sequenceOf(fourth), fourth.warnings]).toEqual([[[5]], 65_538, []])
  })

  test('is reserved on disk before it is given out, many at a time', async () => {
    const opened = await start('none')
    const { current } = opened.writer.find('user')
    current.sequences.reserved = 2
    for (let i = 0; i < 3; i++) await send(opened, [0], [i])
    expect(current.sequences.reserved).toBe(2 + 65_536)
    const again = await openWriter(crash(opened.dataDir))
    expect((await send(again, [0], [1])).sequence).toBeGreaterThan(2 + 65_536)
  })
})

describe('A version', () => {
  test('is never used again by a table of the same name, also across restarts', async () => {
    let opened = await start('disk')
    await putTable(opened.client, { name: 'user', rows: 1, dim: 1 })
    await opened.client.call('remove', { name: 'user', precondition: {} })
    opened = await openWriter(crash(opened.dataDir))
    expect(await putTable(opened.client, { name: 'user', rows: 1, dim: 1 })).toMatchObject({ version: 3 })
    expect(await putTable(opened.client, { name: 'other', rows: 1, dim: 1 })).toMatchObject({ version: 1 })
    await opened.client.call('remove', { name: 'user', precondition: {} })
    opened = await openWriter(crash(opened.dataDir))
    expect(await putTable(opened.client, { name: 'user', rows: 1, dim: 1 })).toMatchObject({ version: 4 })
  })
})

describe('A damaged idempotency key', () => {
  test.each(['catalog.db', 'os.db'])(
    'refuses a start, and is dropped when that is allowed (%s)',
    async (file) => {
      const opened = await start(file === 'os.db' ? 'os' : 'disk')
      await addKeyed(opened, 'a')
      await addKeyed(opened, 'b')
      await opened.close()
      const image = opened.dataDir
      runSql(image, file, "UPDATE keys SET result = replace(result, '1', '2') WHERE id = 1")
      await expect(openWriter(image)).rejects.toMatchObject({
        code: 'DamagedKey',
        message: expect.stringContaining('--recover=before-damage to drop the key'),
      })
      const again = await openWriter(image, { goesBack: true })
      expect(again.warnings.join()).toContain(
        `${file}: the idempotency key 1 has a wrong checksum: it is dropped`,
      )
      expect(readRows(again)).toEqual([[2]])
      expect(await addKeyed(again, 'b')).toMatchObject({ replayed: true })
      expect(await addKeyed(again, 'a')).toMatchObject({ replayed: false })
      await again.close()
      expect((await openWriter(image)).warnings).toEqual([])
    },
  )
})
