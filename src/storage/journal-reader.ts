/** Reads both journals of a store as one: the records of a version in order, and the gaps among them. */
import { assert } from '../core/assert.ts'
import type { Journal } from './journal.ts'
import type { JournalRecord } from './journal-record.ts'
import { refuseData } from './refusals.ts'

/** Sequences `first` to `last`, both included. */
export interface SequenceRange {
  first: number
  last: number
}

/** The sequences of the records that the journal has of one version. */
export interface JournalEvidence {
  /** Runs of sequences without a gap, ascending. */
  ranges: SequenceRange[]
  /** The highest sequence that was answered as durable; 0 if none was. */
  promised: number
}

/** The journals of a store. A version whose durability was changed has records in both. */
export type Journals = readonly [Journal, Journal]

/**
 * Finds the records that both journals together have of a version. `skips` are sequences that have no record
 * and need none.
 */
export const inspectJournals = (
  journals: Journals,
  tableId: number,
  version: number,
  skips: readonly SequenceRange[] = [],
): JournalEvidence => {
  const summaries = journals.map((journal) => journal.describe(tableId, version))
  return {
    ranges: joinRanges([
      ...toRanges(mergeSequences(summaries[0]?.sequences ?? [], summaries[1]?.sequences ?? [])),
      ...skips,
    ]),
    promised: Math.max(0, ...summaries.map((summary) => summary?.promised ?? 0)),
  }
}

export interface JournalQuery {
  tableId: number
  version: number
  afterSequence: number
  /** The last sequence to read; undefined reads to the end of the journal. */
  throughSequence?: number
  /** Sequences that have no record and need none, ascending. */
  skips?: readonly SequenceRange[]
}

/**
 * Reads the records of a version in order. Refuses JournalGap when one is missing before the last or before
 * `throughSequence`, and DamagedRecord when one cannot be read.
 */
export function* readJournals(journals: Journals, query: JournalQuery): Generator<JournalRecord> {
  const { tableId, version, afterSequence, throughSequence = Infinity, skips = [] } = query
  const [first, second] = journals.map((journal) => journal.describe(tableId, version)?.sequences ?? [])
  let expected = afterSequence + 1
  for (const { sequence, source } of mergeSequences([...first], [...second])) {
    if (sequence < expected) continue
    if (sequence > throughSequence) break
    expected = passSkips(expected, skips)
    if (sequence > expected) refuseGap(journals, query, expected, sequence - 1)
    yield journals[source].read(tableId, version, sequence)
    expected = sequence + 1
  }
  expected = passSkips(expected, skips)
  if (throughSequence !== Infinity && expected <= throughSequence)
    refuseGap(journals, query, expected, throughSequence)
}

const passSkips = (expected: number, skips: readonly SequenceRange[]): number =>
  skips.reduce((next, { first, last }) => (first <= next && next <= last ? last + 1 : next), expected)

const refuseGap = (
  [{ path }]: Journals,
  { tableId, version }: JournalQuery,
  first: number,
  last: number,
): never => {
  const what = first === last ? `sequence ${first}` : `sequences ${first} to ${last}`
  return refuseData('JournalGap', path, `the journal of table ${tableId}, version ${version} lacks ${what}`)
}

/**
 * Merges two ascending lists; `source` is the list that a sequence comes from. A sequence in both lists
 * occurs twice.
 */
function* mergeSequences(
  first: readonly number[],
  second: readonly number[],
): Generator<{ sequence: number; source: 0 | 1 }> {
  let i = 0
  let j = 0
  while (i < first.length || j < second.length) {
    if (j >= second.length || (i < first.length && first[i] <= second[j]))
      yield { sequence: first[i++], source: 0 }
    else yield { sequence: second[j++], source: 1 }
  }
}

/** Joins ranges that touch or overlap. */
const joinRanges = (ranges: readonly SequenceRange[]): SequenceRange[] => {
  const joined: SequenceRange[] = []
  for (const { first, last } of ranges.toSorted((a, b) => a.first - b.first)) {
    const run = joined.at(-1)
    if (run !== undefined && first <= run.last + 1) run.last = Math.max(run.last, last)
    else joined.push({ first, last })
  }
  return joined
}

/** Joins sequences to ranges without a gap; a sequence that occurs twice counts once. */
const toRanges = (merged: Iterable<{ sequence: number }>): SequenceRange[] => {
  const ranges: SequenceRange[] = []
  for (const { sequence } of merged) {
    const run = ranges.at(-1)
    assert(run === undefined || sequence >= run.last, 'sequences ascend')
    if (run !== undefined && sequence <= run.last + 1) run.last = sequence
    else ranges.push({ first: sequence, last: sequence })
  }
  return ranges
}
