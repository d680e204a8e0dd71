import { copyFileSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import {
  makeFolder,
  openSample,
  sampleAdapter,
  sampleKey,
  sampleRecord,
  sampleSnapshot,
  sampleTable,
  sampleVersion,
} from './samples.ts'

/** A directory that the first release of format 1 wrote. It is never regenerated. */
const openFixture = () => {
  const directory = makeFolder()
  mkdirSync(join(directory, 'snapshots'))
  for (const name of ['catalog.db', 'os.db']) {
    copyFileSync(new URL(`fixtures/directory-1/${name}`, import.meta.url), join(directory, name))
  }
  return openSample(directory)
}

test('A data directory of format 1 is read as it was written', () => {
  const store = openFixture()
  expect(store.load()).toEqual({
    tables: [sampleTable()],
    versions: [sampleVersion({ reserved: 2 ** 32 })],
    aliases: [{ alias: 'latest', table: 'user', version: null }],
    snapshots: [sampleSnapshot({ stateKind: 'adagrad', stateEpoch: 3 })],
    adapters: [sampleAdapter()],
    names: [{ id: 0, name: '', highest: 2 }],
    skips: [],
    nextId: 3,
  })
  expect([...store.readJournal(1, 1, 0)]).toEqual([sampleRecord(1), sampleRecord(2, { durability: 'os' })])
  expect(['a', 'b'].map((name) => store.findKey(sampleKey(name).hash))).toEqual([
    sampleKey('a', { createdAtMs: 1_700_000_000_000 }),
    sampleKey('b', { createdAtMs: 1_700_000_000_000 }),
  ])
})
