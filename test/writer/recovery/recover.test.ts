import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { Settings } from '../../../src/core/types.ts'
import { openStore } from '../../../src/storage/open-store.ts'
import { putTable } from '../../helpers/writer.ts'
import { sampleRecord } from '../../storage/samples.ts'
import {
  crash,
  describeTable,
  listFolder,
  makeDirectory,
  type OpenWriter,
  openWriter,
  readRows,
  send,
} from '../restart.ts'
import { type Damage, damageFile, dropRecords, refusalOf, snapshotsOf } from './damage.ts'

/** Snapshots exist at 0 and 2, updates through 4. Each sets row 0 to its sequence and adds 1 to row 1. */
const start = async (settings: Partial<Settings> = {}): Promise<OpenWriter> => {
  const opened = await openWriter(makeDirectory())
  await putTable(opened.client, { name: 'user', rows: 3, dim: 1, values: [0, 0, 9], settings })
  for (let sequence = 1; sequence <= 4; sequence++) {
    await send(opened, [0, 1], [sequence, sequence])
    if (sequence === 2) await opened.client.call('snapshot', null)
  }
  return opened
}
const rowsAt = (sequence: number) => [[sequence], [sequence], [9]]
const sequenceOf = ({ writer }: OpenWriter) => writer.find('user').current.table.readSequence()
const DAMAGES: Damage[] = ['flipped', 'cut', 'missing']

describe('A start after a crash', () => {
  test('loads the newest snapshot and every record after it', async () => {
    const opened = await start()
    const again = await openWriter(crash(opened.dataDir))
    expect(describeTable(again)).toEqual(describeTable(opened))
    expect([readRows(again), again.warnings]).toEqual([rowsAt(4), []])
    // Updates continue from there, and survive another crash.
    expect(await send(again, [0, 1], [5, 5])).toMatchObject({ sequence: 5 })
    expect(readRows(await openWriter(crash(again.dataDir)))).toEqual(rowsAt(5))
  })

  test.each(DAMAGES)(
    'loads the older snapshot when the newest is %s, reports it, and loses nothing',
    async (damage) => {
      const opened = await start()
      const image = crash(opened.dataDir)
      const [older, newest] = snapshotsOf(opened)
      damageFile(image, newest.file, damage)
      const again = await openWriter(image)
      expect([readRows(again), sequenceOf(again)]).toEqual([rowsAt(4), 4])
      expect(again.warnings.join('\n')).toContain(`${newest.file}: `)
      expect(again.warnings.at(-1)).toMatch(/nothing is lost$/)
      // The damaged snapshot is no longer listed, but kept under another name, which no start removes.
      const kept = damage === 'missing' ? [] : [`${newest.file}.damaged`]
      expect([snapshotsOf(again).map(({ file }) => file), listFolder(image)]).toEqual([
        [older.file],
        [older.file, ...kept].sort(),
      ])
      const copy = crash(image)
      const third = await openWriter(copy)
      expect([readRows(third), third.warnings]).toEqual([rowsAt(4), []])
      expect(listFolder(copy)).toEqual([older.file, ...kept].sort())
    },
  )

  test.each(DAMAGES)(
    'is refused when both snapshots are %s, with an error that names a file, and changes nothing',
    async (damage) => {
      const opened = await start()
      const image = crash(opened.dataDir)
      const files = snapshotsOf(opened).map(({ file }) => file)
      for (const file of files) damageFile(image, file, damage)
      for (const goesBack of [false, true]) {
        const { code, message } = await refusalOf(image, { goesBack })
        expect(code).toBe(damage === 'missing' ? 'MissingFile' : 'DamagedSnapshot')
        expect(message).toContain(files[1])
      }
      if (damage !== 'missing') expect(listFolder(image)).toEqual([...files].sort())
    },
  )

  test('is refused when a record is missing, or goes back before it when allowed and reports the loss', async () => {
    const opened = await start()
    const image = crash(opened.dataDir)
    dropRecords(image, [3])
    const { code, message } = await refusalOf(image)
    expect([code, message]).toEqual([
      'JournalGap',
      expect.stringContaining('ends at sequence 2, there were updates through 4'),
    ])
    const again = await openWriter(image, { goesBack: true })
    expect([readRows(again), sequenceOf(again)]).toEqual([rowsAt(2), 2])
    expect(again.warnings.at(-1)).toBe(
      'table "user", version 1 goes back to sequence 2: sequences 3 to 4 are lost',
    )
    // The discarded updates stay discarded, and a new update 3 takes their place.
    await send(again, [0, 1], [33, 33])
    const third = await openWriter(crash(image))
    expect([readRows(third), sequenceOf(third), third.warnings]).toEqual([rowsAt(33), 65_537, []])
  })

  test('that goes back before a snapshot removes it from the catalog, because it holds discarded updates', async () => {
    const opened = await start()
    const image = crash(opened.dataDir)
    const [older, newest] = snapshotsOf(opened)
    damageFile(image, newest.file, 'flipped')
    dropRecords(image, [2])
    expect(await refusalOf(image)).toMatchObject({ code: 'DamagedSnapshot' })
    const again = await openWriter(image, { goesBack: true })
    expect([readRows(again), sequenceOf(again), snapshotsOf(again)]).toEqual([rowsAt(1), 1, [older]])
    for (const value of [22, 33]) await send(again, [0, 1], [value, value])
    const third = await openWriter(crash(image))
    expect([readRows(third), third.warnings]).toEqual([rowsAt(33), []])
  })

  test('that goes back removes a whole snapshot, too, when the journal does not reach its end', async () => {
    const opened = await start()
    // The listing is that of a snapshot that was written during updates 3 and 4.
    const [older, newest] = snapshotsOf(opened)
    opened.writer.storage.store.commit({
      changes: [{ kind: 'put-snapshot', snapshot: { ...newest, endSequence: 4 } }],
    })
    const image = crash(opened.dataDir)
    dropRecords(image, [3])
    expect(await refusalOf(image)).toMatchObject({ code: 'JournalGap' })
    const again = await openWriter(image, { goesBack: true })
    expect([readRows(again), sequenceOf(again), snapshotsOf(again)]).toEqual([rowsAt(2), 2, [older]])
    await send(again, [0, 1], [33, 33])
    const third = await openWriter(crash(image))
    expect([readRows(third), sequenceOf(third), third.warnings]).toEqual([rowsAt(33), 65_537, []])
  })

  test('uses the last snapshot without a warning in mode none', async () => {
    const opened = await start({ durability: 'none' })
    const again = await openWriter(crash(opened.dataDir))
    expect([readRows(again), sequenceOf(again), again.warnings]).toEqual([rowsAt(2), 2, []])
  })
})

describe('Data that the catalog does not list', () => {
  test('is removed: files of unfinished snapshots and journals of versions that no longer exist', async () => {
    const opened = await start()
    const image = crash(opened.dataDir)
    const listed = listFolder(image)
    for (const name of ['half.tmp', 'stray.safetensors', 'notes.txt'])
      writeFileSync(join(image, 'snapshots', name), 'x')
    const { store } = openStore(image)
    store.commit({ records: [sampleRecord(1, { tableId: 77 }), sampleRecord(1, { tableId: 1, version: 9 })] })
    store.close()
    const again = await openWriter(image)
    // Files that gatherd did not write stay.
    expect(listFolder(image)).toEqual([...listed, 'notes.txt'].sort())
    expect(
      again.writer.storage.store.journalStreams().map(({ tableId, version }) => `${tableId}/${version}`),
    ).toEqual(['1/1'])
    expect(readRows(again)).toEqual(rowsAt(4))
  })
})

describe('A quota that is too small', () => {
  test('makes a start fail with an error that names the table and the variable', async () => {
    const opened = await start()
    const { code, message } = await refusalOf(crash(opened.dataDir), { quotaBytes: 1000 })
    expect(code).toBe('MEMORY_QUOTA_EXCEEDED')
    expect(message).toMatch(/^table "user" cannot be loaded: .*; raise GATHERD_MEMORY_QUOTA_BYTES$/)
  })

  test('makes a start fail for an adapter, too', async () => {
    const opened = await start()
    const begin = { name: 'user', version: 1, rank: 1, dtype: 'float32' as const, precondition: {} }
    const { adapterId } = await opened.client.call('beginAdapter', begin)
    const withoutAdapter = opened.writer.find('user').current.reservedBytes
    await opened.client.call('commitAdapter', { adapterId, alpha: 1 })
    const { message } = await refusalOf(crash(opened.dataDir), { quotaBytes: withoutAdapter })
    expect(message).toMatch(/^table "user" cannot be loaded: .*; raise GATHERD_MEMORY_QUOTA_BYTES$/)
  })
})

describe('Progress', () => {
  test('grows from zero to the rows and bytes of all tables', async () => {
    const opened = await start()
    await putTable(opened.client, { name: 'large', rows: 600_000, dim: 4 })
    const { progress } = await openWriter(crash(opened.dataDir))
    const totalBytes = 3 * 4 + 600_000 * 16
    for (const one of progress) expect(one).toMatchObject({ totalBytes, totalRows: 600_003 })
    expect(progress[0]).toMatchObject({ table: 'user', version: 1, loadedBytes: 0, loadedRows: 0 })
    expect(progress.at(-1)).toMatchObject({
      table: 'large',
      version: 1,
      loadedBytes: totalBytes,
      loadedRows: 600_003,
    })
    expect(progress.map(({ loadedBytes }) => loadedBytes)).toEqual(
      progress.map(({ loadedBytes }) => loadedBytes).toSorted((a, b) => a - b),
    )
    expect(progress.length).toBeGreaterThan(4)
  })
})
