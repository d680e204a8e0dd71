/** The journal of one database: its records, and an index of them in memory. */
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { assert } from '../core/assert.ts'
import type { JournalRecord, RecordPlace } from './journal-record.ts'
import { decodeRecord, readPlace } from './journal-record.ts'
import { refuseData, StoredDataRefusal } from './refusals.ts'

export const JOURNAL_SCHEMA = `
  CREATE TABLE journal (id INTEGER PRIMARY KEY, record BLOB NOT NULL) STRICT;
`

/** One call of {@link Journal.prune} removes at most this much, because updates wait for it. */
const PRUNE_BYTES_MAX = 4 * 1024 * 1024
const PRUNE_RECORDS_MAX = 1024

/** The records of one version, in order of sequence. */
interface Stream {
  sequences: number[]
  ids: number[]
  bytes: number[]
  totalBytes: number
  promised: number
}

/** A record that was found damaged while the journal was opened. */
export interface DamagedEntry {
  /** The id of its row. */
  id: number
  /** The place that its own bytes name, which may be wrong as well. */
  place: RecordPlace
  refusal: StoredDataRefusal
}

/** A summary of a version's records. */
export interface StreamSummary {
  tableId: number
  version: number
  /** Ascending. */
  sequences: readonly number[]
  bytes: number
  /**
   * The highest sequence that was answered as durable; 0 if none was. Records of mode `none` promise nothing.
   */
  promised: number
}

/**
 * The journal of one database: records in the order in which they were written; each names the version it
 * belongs to. An index in the file would double the pages of a commit, so the index is in memory, and one
 * pass at start builds it.
 */
export class Journal {
  readonly path: string
  /** Records that cannot be read. They prevent a start, unless the operator has chosen to lose them. */
  readonly damaged: DamagedEntry[] = []
  readonly #insert: StatementSync
  readonly #select: StatementSync
  readonly #selectAll: StatementSync
  readonly #delete: StatementSync
  readonly #streams = new Map<string, Stream>()
  #nextId = 1
  #bytes = 0

  constructor(path: string, database: Pick<DatabaseSync, 'prepare'>) {
    this.path = path
    this.#insert = database.prepare('INSERT INTO journal (id, record) VALUES (?, ?)')
    this.#select = database.prepare('SELECT record FROM journal WHERE id = ?')
    this.#selectAll = database.prepare('SELECT id, record FROM journal ORDER BY id')
    this.#delete = database.prepare('DELETE FROM journal WHERE id = ?')
  }

  /**
   * Reads and checks every record. Damaged ones are collected and not refused, because the caller decides
   * about them.
   */
  load(): void {
    for (const { id, record: bytes } of this.#selectAll.iterate() as Iterable<{
      id: number
      record: Uint8Array
    }>) {
      this.#nextId = id + 1
      const place = { file: this.path, ...readPlace(bytes) }
      try {
        const record = decodeRecord(bytes, place)
        if (record.sequence <= this.#lastSequence(record)) refuseOrder(place)
        this.#enter(record, id, bytes.length)
      } catch (error) {
        if (!(error instanceof StoredDataRefusal)) throw error
        this.damaged.push({ id, place, refusal: error })
      }
    }
  }

  /** Bytes of all records. */
  get bytes(): number {
    return this.#bytes
  }

  /**
   * Asserts that `records` continue the journal. Called before a transaction, whose failure would end all
   * writing.
   */
  checkOrder(records: readonly JournalRecord[]): void {
    const last = new Map<string, number>()
    for (const record of records) {
      const name = nameOf(record.tableId, record.version)
      assert(
        record.sequence > (last.get(name) ?? this.#lastSequence(record)),
        'the records of a version are written in order',
      )
      last.set(name, record.sequence)
    }
  }

  /**
   * Writes records, inside a transaction of the caller. The caller calls the returned function after the
   * commit, which enters them into the index. `encoded[i]` is `records[i]` as bytes, made before the
   * transaction began.
   */
  write(records: readonly JournalRecord[], encoded: readonly Uint8Array[]): () => void {
    encoded.forEach((bytes, i) => this.#insert.run(this.#nextId + i, bytes))
    return () => records.forEach((record, i) => this.#enter(record, this.#nextId++, encoded[i].length))
  }

  /** Reads the record of `sequence`. Refuses DamagedRecord. */
  read(tableId: number, version: number, sequence: number): JournalRecord {
    const stream = this.#streams.get(nameOf(tableId, version))
    const at = stream === undefined ? -1 : findFirst(stream.sequences, sequence)
    assert(stream !== undefined && stream.sequences[at] === sequence, 'a record that the index knows')
    const place = { file: this.path, tableId, version, sequence }
    const row = this.#select.get(stream.ids[at]) as { record: Uint8Array } | undefined
    return decodeRecord(row?.record ?? new Uint8Array(0), place)
  }

  /** The summary of one version; null when it has no record here. */
  describe(tableId: number, version: number): StreamSummary | null {
    const stream = this.#streams.get(nameOf(tableId, version))
    return stream === undefined ? null : { tableId, version, ...summarize(stream) }
  }

  /** The summaries of all versions that have records here. */
  describeAll(): StreamSummary[] {
    return [...this.#streams].map(([name, stream]) => {
      const [tableId, version] = name.split('/').map(Number)
      return { tableId, version, ...summarize(stream) }
    })
  }

  /**
   * Deletes records through `throughSequence`, inside a transaction of the caller; the oldest first, a
   * bounded number. The caller calls the returned function after the commit; it returns whether none is left.
   */
  prune(tableId: number, version: number, throughSequence: number): () => boolean {
    const stream = this.#streams.get(nameOf(tableId, version))
    if (stream === undefined) return () => true
    const end = findFirst(stream.sequences, throughSequence + 1)
    let count = 0
    for (let bytes = 0; count < Math.min(end, PRUNE_RECORDS_MAX) && bytes < PRUNE_BYTES_MAX; count++) {
      bytes += stream.bytes[count]
      this.#delete.run(stream.ids[count])
    }
    return () => {
      this.#forget(nameOf(tableId, version), stream, 0, count)
      return count === end
    }
  }

  /**
   * Deletes every record after `afterSequence`, inside a transaction of the caller, who confirms it as for a
   * prune.
   */
  discard(tableId: number, version: number, afterSequence: number): () => void {
    const stream = this.#streams.get(nameOf(tableId, version))
    if (stream === undefined) return () => {}
    const from = findFirst(stream.sequences, afterSequence + 1)
    const count = stream.ids.length - from
    for (const id of stream.ids.slice(from)) this.#delete.run(id)
    return () => {
      stream.promised = Math.min(stream.promised, afterSequence)
      this.#forget(nameOf(tableId, version), stream, from, count)
    }
  }

  /**
   * Deletes the records that cannot be read, inside a transaction of the caller, so that the next start does
   * not find them.
   */
  deleteDamaged(): void {
    for (const { id } of this.damaged) this.#delete.run(id)
  }

  #lastSequence({ tableId, version }: { tableId: number; version: number }): number {
    return this.#streams.get(nameOf(tableId, version))?.sequences.at(-1) ?? 0
  }

  #enter(record: JournalRecord, id: number, bytes: number): void {
    const name = nameOf(record.tableId, record.version)
    let stream = this.#streams.get(name)
    if (stream === undefined) {
      stream = { sequences: [], ids: [], bytes: [], totalBytes: 0, promised: 0 }
      this.#streams.set(name, stream)
    }
    stream.sequences.push(record.sequence)
    stream.ids.push(id)
    stream.bytes.push(bytes)
    stream.totalBytes += bytes
    if (record.durability !== 'none') stream.promised = record.sequence
    this.#bytes += bytes
  }

  #forget(name: string, stream: Stream, from: number, count: number): void {
    const bytes = stream.bytes.slice(from, from + count).reduce((sum, one) => sum + one, 0)
    stream.totalBytes -= bytes
    this.#bytes -= bytes
    for (const list of [stream.sequences, stream.ids, stream.bytes]) list.splice(from, count)
    if (stream.ids.length === 0) this.#streams.delete(name)
  }
}

const refuseOrder = ({ file, tableId, version, sequence }: RecordPlace): never =>
  refuseData(
    'DamagedRecord',
    file,
    `the journal has the record of table ${tableId}, version ${version}, sequence ${sequence} twice or late`,
  )

const nameOf = (tableId: number, version: number): string => `${tableId}/${version}`

const summarize = (stream: Stream): Omit<StreamSummary, 'tableId' | 'version'> => ({
  sequences: stream.sequences,
  bytes: stream.totalBytes,
  promised: stream.promised,
})

/** The index of the first element of an ascending list that is at least `value`. */
const findFirst = (list: readonly number[], value: number): number => {
  let low = 0
  let high = list.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (list[middle] < value) low = middle + 1
    else high = middle
  }
  return low
}
