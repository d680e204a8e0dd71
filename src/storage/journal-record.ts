/**
 * The format of a journal record: one update as post-images, which are the rows and their optimizer state as
 * they are after it. Replayed over any earlier state of the version, in order, records give the state at the
 * last one; replaying one twice does no harm.
 *
 * Little-endian, format version 1. Fixtures of every version are kept in `test/storage/fixtures`.
 *
 *      0  magic "GJRN"
 *      4  format version, uint16
 *      6  durability, uint8: 0 none, 1 os, 2 disk
 *      7  optimizer state, uint8: 0 none, else the journal code of its kind (src/optimizers)
 *      8  CRC-32 of all other bytes, those before it first
 *     12  bytes of the whole record, uint32
 *     16  table, uint64: a number that is never used for another table
 *     24  version, uint64
 *     32  sequence, uint64: 1 for the first update of a version
 *     40  gradient steps taken after it, float64
 *     48  milliseconds since 1970, float64
 *     56  rows, uint32
 *     60  bytes of a stored row, uint32
 *     64  state numbers of a row, uint32; 0 without state
 *     68  state epoch, uint32: state and steps of an earlier epoch were dropped and are not taken up again
 *     72  state of a row that no record touched, float32
 *     76  zero, uint32
 *     80  row numbers, int32, each within 0..2^31-2
 *     ..  state rows, float32
 *     ..  rows as stored
 */
import { crc32 } from 'node:zlib'
import { assert } from '../core/assert.ts'
import type { Dtype, Durability } from '../core/types.ts'
import { rowBytes } from '../layout/table-layout.ts'
import { fromJournalCode, toJournalCode } from '../optimizers/kind-index.ts'
import { stateLength } from '../optimizers/state-tensors.ts'
import { refuseData } from './refusals.ts'

const MAGIC = 0x4e524a47
const FORMAT = 1
const CRC_AT = 8
const HEADER_BYTES = 80
const DURABILITIES: readonly Durability[] = ['none', 'os', 'disk']

/** Optimizer state of the rows of a record. */
export interface RecordState {
  kind: string
  /** The value of a state number of a row that no gradient has touched. */
  initial: number
  /** Float32 numbers per row, at least 1. */
  length: number
  /** ids.length x length. */
  rows: Float32Array
}

export interface JournalRecord {
  tableId: number
  version: number
  sequence: number
  /** Gradient steps within `stateEpoch`; those of an earlier epoch no longer count. */
  step: number
  /** Raised each time the table drops its optimizer state; see the format above. */
  stateEpoch: number
  updatedAtMs: number
  durability: Durability
  /** Distinct row numbers. */
  ids: Int32Array
  /** Bytes of one stored row. */
  rowBytes: number
  /** ids.length x rowBytes, as stored. */
  rows: Uint8Array
  state: RecordState | null
}

/** The place at which a record was found, for messages. */
export interface RecordPlace {
  file: string
  tableId: number
  version: number
  sequence: number
}

/**
 * The length of the record that {@link encodeRecord} makes of such an update. It limits the size of a batch,
 * and of the journal.
 */
export const recordBytes = (rowCount: number, storedRowBytes: number, stateNumbers: number): number =>
  HEADER_BYTES + rowCount * (4 + stateNumbers * 4 + storedRowBytes)

/** Encodes a record into new memory. */
export const encodeRecord = (record: JournalRecord): Uint8Array => {
  const { ids, rows, state } = record
  const stateNumbers = state?.length ?? 0
  assert(rows.length === ids.length * record.rowBytes, 'a stored row per id')
  assert(
    state === null || (stateNumbers > 0 && state.rows.length === ids.length * stateNumbers),
    'a state row per id',
  )
  const bytes = new Uint8Array(recordBytes(ids.length, record.rowBytes, stateNumbers))
  const view = new DataView(bytes.buffer)
  view.setUint32(0, MAGIC, true)
  view.setUint16(4, FORMAT, true)
  view.setUint8(6, DURABILITIES.indexOf(record.durability))
  view.setUint8(7, state === null ? 0 : toJournalCode(state.kind))
  view.setUint32(12, bytes.length, true)
  view.setBigUint64(16, BigInt(record.tableId), true)
  view.setBigUint64(24, BigInt(record.version), true)
  view.setBigUint64(32, BigInt(record.sequence), true)
  view.setFloat64(40, record.step, true)
  view.setFloat64(48, record.updatedAtMs, true)
  view.setUint32(56, ids.length, true)
  view.setUint32(60, record.rowBytes, true)
  view.setUint32(64, stateNumbers, true)
  view.setUint32(68, record.stateEpoch, true)
  view.setFloat32(72, state?.initial ?? 0, true)
  new Int32Array(bytes.buffer, HEADER_BYTES, ids.length).set(ids)
  const stateAt = HEADER_BYTES + ids.length * 4
  if (state !== null) new Float32Array(bytes.buffer, stateAt, state.rows.length).set(state.rows)
  bytes.set(rows, stateAt + ids.length * stateNumbers * 4)
  view.setUint32(CRC_AT, recordCrc(bytes), true)
  return bytes
}

const recordCrc = (bytes: Uint8Array): number =>
  crc32(bytes.subarray(CRC_AT + 4), crc32(bytes.subarray(0, CRC_AT)))

/**
 * Reads a record. Its arrays are views of `bytes` where alignment allows. Refuses DamagedRecord, naming
 * `place`, for anything that {@link encodeRecord} did not write, and for a record that belongs elsewhere;
 * UnknownFormat for a later format.
 */
export const decodeRecord = (bytes: Uint8Array, place: RecordPlace): JournalRecord => {
  const decoded = readFields(alignBytes(bytes), place)
  for (const part of ['tableId', 'version', 'sequence'] as const) {
    if (decoded[part] !== place[part]) refuseRecord(place, `it belongs to ${describePlace(decoded)}`)
  }
  return decoded
}

/** Reads the place that a record names, unchecked; zeros when it is too short to name one. */
export const readPlace = (bytes: Uint8Array): Omit<RecordPlace, 'file'> => {
  if (bytes.length < HEADER_BYTES) return { tableId: 0, version: 0, sequence: 0 }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const readNumber = (at: number): number => Number(view.getBigUint64(at, true))
  return { tableId: readNumber(16), version: readNumber(24), sequence: readNumber(32) }
}

const describePlace = ({ tableId, version, sequence }: Omit<RecordPlace, 'file'>): string =>
  `table ${tableId}, version ${version}, sequence ${sequence}`

const refuseRecord = (place: RecordPlace, what: string): never =>
  refuseData('DamagedRecord', place.file, `the journal record of ${describePlace(place)} is damaged: ${what}`)

/** Typed arrays need an address that is a multiple of 4. */
const alignBytes = (bytes: Uint8Array): Uint8Array => (bytes.byteOffset % 4 === 0 ? bytes : bytes.slice())

const readFields = (bytes: Uint8Array, place: RecordPlace): JournalRecord => {
  if (bytes.length < HEADER_BYTES) return refuseRecord(place, `it has ${bytes.length} bytes`)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  if (view.getUint32(0, true) !== MAGIC) return refuseRecord(place, 'it does not begin like one')
  if (view.getUint32(CRC_AT, true) !== recordCrc(bytes)) return refuseRecord(place, 'its checksum is wrong')
  const format = view.getUint16(4, true)
  if (format !== FORMAT) {
    return refuseData(
      'UnknownFormat',
      place.file,
      `the journal record of ${describePlace(place)} has format ${format}`,
    )
  }
  const rowCount = view.getUint32(56, true)
  const storedRowBytes = view.getUint32(60, true)
  const stateNumbers = view.getUint32(64, true)
  const durability = DURABILITIES[view.getUint8(6)]
  const stateCode = view.getUint8(7)
  const kind = stateCode === 0 ? null : fromJournalCode(stateCode)
  const consistent =
    durability !== undefined && kind !== undefined && (kind === null) === (stateNumbers === 0)
  // The checksum only proves that the bytes were not changed, so the sizes are checked before a view is made
  // of them.
  const expectedBytes = recordBytes(rowCount, storedRowBytes, stateNumbers)
  if (!consistent || view.getUint32(12, true) !== bytes.length || expectedBytes !== bytes.length) {
    return refuseRecord(place, 'its sizes do not fit')
  }
  const stateAt = HEADER_BYTES + rowCount * 4
  const rowsAt = stateAt + rowCount * stateNumbers * 4
  const ids = new Int32Array(bytes.buffer, bytes.byteOffset + HEADER_BYTES, rowCount)
  if (ids.some((id) => id < 0)) return refuseRecord(place, 'it names a row below 0')
  return {
    tableId: readWhole(view, 16, place),
    version: readWhole(view, 24, place),
    sequence: readWhole(view, 32, place),
    step: view.getFloat64(40, true),
    stateEpoch: view.getUint32(68, true),
    updatedAtMs: view.getFloat64(48, true),
    durability,
    ids,
    rowBytes: storedRowBytes,
    rows: bytes.subarray(rowsAt),
    state:
      kind === null
        ? null
        : {
            kind,
            initial: view.getFloat32(72, true),
            length: stateNumbers,
            rows: new Float32Array(bytes.buffer, bytes.byteOffset + stateAt, rowCount * stateNumbers),
          },
  }
}

/** Checks that a record can be replayed over a version of this shape. Refuses DamagedRecord. */
export const checkRecordFits = (
  record: JournalRecord,
  table: { rows: number; dim: number; dtype: Dtype },
  file: string,
): void => {
  const place = { file, tableId: record.tableId, version: record.version, sequence: record.sequence }
  if (record.rowBytes !== rowBytes(table.dim, table.dtype))
    refuseRecord(place, `its rows have ${record.rowBytes} bytes`)
  const outside = record.ids.find((id) => id >= table.rows)
  if (outside !== undefined) refuseRecord(place, `it names row ${outside} of ${table.rows}`)
  const { state } = record
  if (state !== null && state.length !== stateLength(state, table.dim)) {
    refuseRecord(place, `its ${state.kind} state has ${state.length} numbers a row`)
  }
}

const readWhole = (view: DataView, at: number, place: RecordPlace): number => {
  const value = Number(view.getBigUint64(at, true))
  return Number.isSafeInteger(value) ? value : refuseRecord(place, 'a number in it is too large')
}
