import { statSync } from 'node:fs'
import { expect, test } from 'vitest'
import type { Store } from '../../src/storage/store.ts'
import { makeFolder, openSample, readSequences, sampleChanges, sampleKey, sampleRecord } from './samples.ts'

const MiB = 1024 * 1024
const sizesOf = ({ paths }: Store): number[] =>
  [paths.catalog, `${paths.catalog}-wal`, paths.os, `${paths.os}-wal`].map((path) => statSync(path).size)

/** Fills both databases with 3 MiB of records, which are pruned again. */
const fillAndPrune = (store: Store): void => {
  store.commit({ changes: sampleChanges(), keys: [sampleKey('kept')] })
  const rows = new Uint8Array(64 * 1024)
  for (let sequence = 1; sequence <= 96; sequence++) {
    const record = { ids: new Int32Array(64).map((_, i) => i), rowBytes: 1024, rows }
    if (sequence <= 48) store.commit({ records: [sampleRecord(sequence, record)] })
    else store.commitOs({ records: [sampleRecord(sequence, { ...record, durability: 'os' })] })
  }
  while (!store.pruneJournal(1, 1, 96));
  store.checkpoint()
}

test('The databases and their logs shrink when no table is left, and keep what they hold', () => {
  const directory = makeFolder()
  const store = openSample(directory)
  fillAndPrune(store)
  const before = sizesOf(store)
  for (const bytes of before) expect(bytes).toBeGreaterThan(2 * MiB)
  store.tidyUp(false)
  // A table is left, whose next updates use the space.
  expect(sizesOf(store)).toEqual(before)
  store.commit({ changes: [{ kind: 'delete-table', tableId: 1 }] })
  store.tidyUp(false)
  for (const bytes of sizesOf(store)) expect(bytes).toBeLessThan(MiB / 4)
  store.commit({ changes: sampleChanges(), records: [sampleRecord(97)] })
  store.close()
  const again = openSample(directory)
  expect(readSequences(again, 1, 1, 96)).toEqual([97])
  expect(again.findKey(sampleKey('kept').hash)?.result).toBe(sampleKey('kept').result)
})
