import { describe, expect, test } from 'vitest'
import { findVersions, listFiles, planFound } from '../../../src/writer/recovery/plan-version.ts'
import {
  openSample,
  refusalOf,
  refusalOfAsync,
  makeFolder,
  sampleAdapter,
  sampleRecord,
} from '../../storage/samples.ts'
import { sampleSnapshot, sampleTable, sampleVersion } from '../../storage/samples.ts'
import type { CatalogImage } from '../../../src/storage/catalog-rows.ts'
import { putTable } from '../../helpers/writer.ts'
import { makeDirectory, openWriter, send } from '../restart.ts'
import { damageFile } from './damage.ts'

const image = (changes: Partial<CatalogImage> = {}): CatalogImage => ({
  ...{
    tables: [sampleTable()],
    versions: [sampleVersion()],
    aliases: [],
    snapshots: [sampleSnapshot()],
    adapters: [],
    names: [],
    skips: [],
    nextId: 9,
  },
  ...changes,
})

describe('The versions of a catalog', () => {
  test('are found with their snapshots, each classified by its file', async () => {
    const opened = await openWriter(makeDirectory())
    await putTable(opened.client, { name: 'user', rows: 2, dim: 1 })
    await send(opened, [0], [1])
    await opened.client.call('snapshot', null)
    const { store } = opened.writer.storage
    const loaded = store.load()
    damageFile(opened.dataDir, loaded.snapshots[0].file, 'cut')
    const found = await findVersions(store, loaded)
    expect(found).toMatchObject([{ table: { name: 'user' }, versionRow: { version: 1 } }])
    expect(found[0].snapshots.map(({ state, listed }) => [listed.id, state])).toEqual([
      [loaded.snapshots[0].id, 'cut'],
      [loaded.snapshots[1].id, 'valid'],
    ])
    expect(planFound(store, found[0], false)).toMatchObject({
      snapshot: loaded.snapshots[1],
      replay: { first: 2, last: 1 },
      warnings: [],
    })
    // Only a full read finds this damage; the ends and the length of the file are right.
    found[0].snapshots[1].state = 'damaged'
    expect(refusalOf(() => planFound(store, found[0], false))).toBe('DamagedSnapshot')
  })

  test('are refused when their table is missing', async () => {
    const store = openSample(makeFolder())
    expect(await refusalOfAsync(() => findVersions(store, image({ tables: [] })))).toBe('DamagedCatalog')
  })

  test('are refused when a file or journal records are missing', async () => {
    const store = openSample(makeFolder())
    const [found] = await findVersions(store, image())
    expect(found.snapshots.map(({ state }) => state)).toEqual(['missing'])
    expect(refusalOf(() => planFound(store, found, false))).toBe('MissingFile')
    store.commit({ records: [sampleRecord(2)] })
    found.snapshots[0].state = 'valid'
    expect(refusalOf(() => planFound(store, found, false))).toBe('JournalGap')
    expect(planFound(store, found, true)).toMatchObject({ replay: { first: 1, last: 0 }, discard: true })
  })
})

test('The files that a catalog lists are those of snapshots and of adapters', () => {
  expect([...listFiles(image({ adapters: [sampleAdapter()] }))].sort()).toEqual([
    'a.safetensors',
    'b.safetensors',
    'c.safetensors',
  ])
})
