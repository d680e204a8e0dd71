import { cpSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { StoreFailed } from '../../src/storage/refusals.ts'
import { errorOf, makeFolder, openSample, readSequences, sampleChanges, sampleRecord } from './samples.ts'

const start = () => {
  const directory = join(makeFolder(), 'data')
  const store = openSample(directory)
  store.commit({ changes: sampleChanges(), records: [sampleRecord(1)] })
  return { directory, store }
}

const REMOVALS: Record<string, (directory: string) => void> = {
  'was removed': (directory) => rmSync(directory, { recursive: true }),
  'was moved away': (directory) => renameSync(directory, `${directory}-elsewhere`),
  'was replaced by a copy': (directory) => {
    renameSync(directory, `${directory}-elsewhere`)
    cpSync(`${directory}-elsewhere`, directory, { recursive: true })
  },
  'was replaced by an empty one': (directory) => {
    renameSync(directory, `${directory}-elsewhere`)
    mkdirSync(directory)
  },
}

describe.each(Object.entries(REMOVALS))('A data directory that %s while it is used', (_name, remove) => {
  test.each(['disk', 'os'] as const)('takes no more commits of mode %s, nor any other', (mode) => {
    const { directory, store } = start()
    remove(directory)
    const record = sampleRecord(2, { durability: mode })
    const commit = () =>
      mode === 'disk' ? store.commit({ records: [record] }) : store.commitOs({ records: [record] })
    expect(errorOf(commit)).toMatchObject({
      message: expect.stringMatching(/was removed or replaced; updates are/),
    })
    expect(store.failure).toBeInstanceOf(StoreFailed)
    expect(errorOf(() => store.commit({ changes: sampleChanges() }))).toBeInstanceOf(StoreFailed)
    // What was read before is still there.
    expect(readSequences(store)).toEqual([1])
  })
})

describe('A database file that was replaced alone', () => {
  test.each(['catalog.db', 'catalog.db-wal'])('is noticed at the next commit: %s', (name) => {
    const { directory, store } = start()
    cpSync(join(directory, name), join(directory, 'copy'))
    renameSync(join(directory, 'copy'), join(directory, name))
    expect(errorOf(() => store.commit({ records: [sampleRecord(2)] }))).toBeInstanceOf(StoreFailed)
  })
})
