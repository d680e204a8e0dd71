import { readFileSync } from 'node:fs'
import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  checkRecordFits,
  decodeRecord,
  encodeRecord,
  type JournalRecord,
  recordBytes,
} from '../../src/storage/journal-record.ts'
import { StoredDataRefusal } from '../../src/storage/refusals.ts'
import { refusalOf, sampleRecord } from './samples.ts'

const withState: JournalRecord = {
  tableId: 7,
  version: 3,
  sequence: 2 ** 33 + 5,
  step: 12,
  updatedAtMs: 1_700_000_000_000.5,
  durability: 'os',
  ids: new Int32Array([4, 0, 2_147_483_646]),
  rowBytes: 6,
  rows: Uint8Array.from({ length: 18 }, (_, i) => i * 3),
  stateEpoch: 9,
  state: { kind: 'rowwise_adagrad', initial: 0.5, length: 1, rows: new Float32Array([0.25, -1, 3.5]) },
}
const placeOf = ({ tableId, version, sequence }: JournalRecord) => ({
  file: 'catalog.db',
  tableId,
  version,
  sequence,
})
const decode = (bytes: Uint8Array, record = withState) => decodeRecord(bytes, placeOf(record))

const anyRecord = fc
  .record({
    tableId: fc.maxSafeNat(),
    version: fc.maxSafeNat(),
    sequence: fc.maxSafeNat(),
    step: fc.maxSafeNat(),
    stateEpoch: fc.nat(2 ** 32 - 1),
    updatedAtMs: fc.double({ noNaN: true }),
    durability: fc.constantFrom('none', 'os', 'disk'),
    rowBytes: fc.integer({ min: 0, max: 9 }),
    rowCount: fc.integer({ min: 0, max: 5 }),
    kind: fc.constantFrom(null, 'momentum', 'adagrad', 'rowwise_adagrad', 'adam'),
    length: fc.integer({ min: 1, max: 4 }),
    bytes: fc.uint8Array({ minLength: 45, maxLength: 45 }),
    ids: fc.array(fc.nat(2 ** 31 - 2), { minLength: 5, maxLength: 5 }),
  })
  .map(
    ({ rowCount, kind, length, bytes, ids, ...rest }): JournalRecord => ({
      ...rest,
      durability: rest.durability as JournalRecord['durability'],
      ids: Int32Array.from(ids.slice(0, rowCount)),
      rows: bytes.slice(0, rowCount * rest.rowBytes),
      state:
        kind === null
          ? null
          : {
              kind: kind as 'adam',
              initial: 0,
              length,
              rows: Float32Array.from({ length: rowCount * length }, (_, i) => bytes[i]),
            },
    }),
  )

describe('A journal record', () => {
  test('reads back as it was written', () => {
    fc.assert(
      fc.property(anyRecord, (record) => {
        const bytes = encodeRecord(record)
        expect(bytes.length).toBe(recordBytes(record.ids.length, record.rowBytes, record.state?.length ?? 0))
        expect(decodeRecord(bytes, placeOf(record))).toEqual(record)
      }),
    )
  })

  test('reads the same from an unaligned address', () => {
    const memory = new Uint8Array(encodeRecord(withState).length + 1)
    memory.set(encodeRecord(withState), 1)
    expect(decode(memory.subarray(1))).toEqual(withState)
  })

  test('shares no memory with the arrays that it was encoded from', () => {
    const record = { ...withState, rows: withState.rows.slice() }
    const bytes = encodeRecord(record)
    record.rows.fill(0)
    expect(decode(bytes).rows).toEqual(withState.rows)
  })

  test('of format 1 is read from the fixture and written with the same bytes', () => {
    const fixture = new Uint8Array(readFileSync(new URL('fixtures/record-1.bin', import.meta.url)))
    expect(decode(fixture)).toEqual(withState)
    expect(encodeRecord(withState)).toEqual(fixture)
  })

  test('is refused when it is cut at any byte, or has bytes added', () => {
    const bytes = encodeRecord(withState)
    for (let length = 0; length < bytes.length; length++)
      expect(refusalOf(() => decode(bytes.subarray(0, length)))).toBe('DamagedRecord')
    expect(refusalOf(() => decode(Uint8Array.of(...bytes, 0)))).toBe('DamagedRecord')
  })

  test('is refused when any one bit of it is flipped', () => {
    const bytes = encodeRecord(withState)
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      bytes[bit >> 3] ^= 1 << (bit & 7)
      expect(refusalOf(() => decode(bytes))).toBe('DamagedRecord')
      bytes[bit >> 3] ^= 1 << (bit & 7)
    }
    expect(refusalOf(() => decode(bytes))).toBe(null)
  })

  test('is refused when it lies where another record belongs', () => {
    const bytes = encodeRecord(withState)
    for (const place of [{ tableId: 8 }, { version: 4 }, { sequence: 6 }]) {
      expect(refusalOf(() => decodeRecord(bytes, { ...placeOf(withState), ...place }))).toBe('DamagedRecord')
    }
  })

  test('of a later format is refused with an error that says so', () => {
    expect(refusalOf(() => decode(resum(encodeRecord(withState), (bytes) => bytes.set([2], 4))))).toBe(
      'UnknownFormat',
    )
  })

  test('that was damaged before its checksum was computed is either decoded or refused, without any other error', () => {
    const original = encodeRecord(withState)
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(original.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 }),
        (changes) => {
          const bytes = resum(original, (copy) => changes.forEach(([at, value]) => copy.set([value], at)))
          try {
            const { ids, rows, rowBytes } = decode(bytes)
            expect(rows.length).toBe(ids.length * rowBytes)
          } catch (error) {
            expect(error).toBeInstanceOf(StoredDataRefusal)
          }
        },
      ),
      { numRuns: 1000 },
    )
  })
})

/** Returns a copy with changes and a checksum that matches them. */
const resum = (original: Uint8Array, change: (bytes: Uint8Array) => void): Uint8Array => {
  const bytes = original.slice()
  change(bytes)
  new DataView(bytes.buffer).setUint32(8, crc32(bytes.subarray(12), crc32(bytes.subarray(0, 8))), true)
  return bytes
}

describe('A record for a version', () => {
  const table = { rows: 10, dim: 2, dtype: 'float32' as const }
  const fits = (changes: Partial<JournalRecord>) =>
    refusalOf(() => checkRecordFits(sampleRecord(3, changes), table, 'catalog.db'))

  test('is refused when it has rows out of range, another width, or state of another length', () => {
    const state = { kind: 'adam' as const, initial: 0, length: 4, rows: new Float32Array(4) }
    expect(fits({})).toBe(null)
    expect(fits({ state })).toBe(null)
    expect(fits({ ids: new Int32Array([10]) })).toBe('DamagedRecord')
    expect(fits({ rowBytes: 4, rows: new Uint8Array(4) })).toBe('DamagedRecord')
    expect(fits({ state: { ...state, length: 2, rows: new Float32Array(2) } })).toBe('DamagedRecord')
  })
})
