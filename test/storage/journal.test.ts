import { describe, expect, test } from 'vitest'
import { makeFolder, openSample, readSequences, refusalOf, sampleRecord } from './samples.ts'

const disk = (sequence: number) => sampleRecord(sequence)
const os = (sequence: number) => sampleRecord(sequence, { durability: 'os' })
const none = (sequence: number) => sampleRecord(sequence, { durability: 'none' })
const range = (first: number, last: number) => Array.from({ length: last - first + 1 }, (_, i) => first + i)

describe('Pruning the journal', () => {
  test('removes the records through a sequence from both files, and no others', () => {
    const directory = makeFolder()
    const store = openSample(directory)
    store.commit({ records: range(1, 5).map(disk) })
    store.commitOs({ records: range(6, 10).map(os) })
    store.commit({ records: [sampleRecord(1, { tableId: 2 }), sampleRecord(1, { version: 2 })] })
    expect(store.pruneJournal(1, 1, 7)).toBe(true)
    expect(readSequences(store, 1, 1, 7)).toEqual([8, 9, 10])
    expect(store.inspectJournal(1, 1)).toEqual({ ranges: [{ first: 8, last: 10 }], promised: 10 })
    store.close()
    const again = openSample(directory)
    expect(again.inspectJournal(1, 1)).toEqual({ ranges: [{ first: 8, last: 10 }], promised: 10 })
    expect([readSequences(again, 2, 1), readSequences(again, 1, 2)]).toEqual([[1], [1]])
  })

  test('removes a bounded number of records at a time, the oldest first, and says when it is done', () => {
    const store = openSample(makeFolder())
    store.commit({ records: range(1, 3000).map(disk) })
    expect(store.pruneJournal(1, 1, 2500)).toBe(false)
    const [{ first, last }] = store.inspectJournal(1, 1).ranges
    expect(first).toBeGreaterThan(100)
    expect(last).toBe(3000)
    while (!store.pruneJournal(1, 1, 2500));
    expect(store.inspectJournal(1, 1).ranges).toEqual([{ first: 2501, last: 3000 }])
    expect(store.pruneJournal(1, 1, 2500)).toBe(true)
    expect(store.pruneJournal(7, 1, 2500)).toBe(true)
  })

  test('lowers the count of bytes to those of the records that are left', () => {
    const store = openSample(makeFolder())
    store.commit({ records: range(1, 10).map(disk) })
    const bytes = store.journalBytes()
    store.pruneJournal(1, 1, 4)
    expect(store.journalBytes()).toBe((bytes / 10) * 6)
    store.pruneJournal(1, 1, Infinity)
    expect([store.journalBytes(), store.journalStreams()]).toEqual([0, []])
  })

  test('finds versions that the catalog does not list', () => {
    const store = openSample(makeFolder())
    store.commit({ records: [sampleRecord(3, { tableId: 2 ** 40, version: 9 })] })
    expect(store.journalStreams()).toMatchObject([{ tableId: 2 ** 40, version: 9, sequences: [3] }])
  })
})

describe('Discarding', () => {
  test('removes everything after a sequence, so that new records can continue from there', () => {
    const directory = makeFolder()
    const store = openSample(directory)
    store.commit({ records: range(1, 5).map(disk) })
    store.commitOs({ records: range(6, 8).map(os) })
    store.discardJournal(1, 1, 3)
    expect(store.inspectJournal(1, 1)).toEqual({ ranges: [{ first: 1, last: 3 }], promised: 3 })
    store.commitOs({ records: [os(4)] })
    store.commit({ records: [disk(5)] })
    store.close()
    expect(readSequences(openSample(directory))).toEqual([1, 2, 3, 4, 5])
  })
})

describe('Reading the journal', () => {
  test('refuses a gap before, within and at the end of the requested range', () => {
    const store = openSample(makeFolder())
    store.commitOs({ records: [none(3), none(4), none(8)] })
    const read = (after: number, through?: number) =>
      refusalOf(() => [...store.readJournal(1, 1, after, through)])
    expect([read(2, 4), read(1, 4), read(2, 5), read(2), read(7)]).toEqual([
      null,
      'JournalGap',
      'JournalGap',
      'JournalGap',
      null,
    ])
    expect([...store.readJournal(1, 1, 2, 4)].map(({ sequence }) => sequence)).toEqual([3, 4])
    expect([read(8), read(0, 0)]).toEqual([null, null])
  })

  test('distinguishes records that were acknowledged from those that merely exist', () => {
    const directory = makeFolder()
    const store = openSample(directory)
    store.commit({ records: [disk(1), disk(2)] })
    store.commitOs({ records: [none(3), none(5)] })
    const expected = {
      ranges: [
        { first: 1, last: 3 },
        { first: 5, last: 5 },
      ],
      promised: 2,
    }
    expect(store.inspectJournal(1, 1)).toEqual(expected)
    store.close()
    expect(openSample(directory).inspectJournal(1, 1)).toEqual(expected)
  })
})
