import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  commitName,
  isHidden,
  isIncoming,
  isUploadId,
  newIncomingName,
  newUploadId,
  parseCommitName,
  parsePartName,
  parseRecordName,
  partName,
} from '../../../src/upload/staging/layout.ts'

describe('the file name of a part', () => {
  test('contains its number, stamp, size and digest', () => {
    const hex = fc
      .uint8Array({ minLength: 32, maxLength: 32 })
      .map((bytes) => Buffer.from(bytes).toString('hex'))
    const part = fc.record({ part: fc.nat(9_999), stamp: fc.nat(), bytes: fc.nat(2 ** 40), sha256: hex })
    fc.assert(
      fc.property(part, (it) =>
        isDeepStrictEqual(parsePartName(partName(it)), { ...it, name: partName(it) }),
      ),
    )
  })

  test('is the only name of that form', () => {
    const name = partName({ part: 7, stamp: 1, bytes: 2, sha256: 'a'.repeat(64) })
    expect(name).toBe(`part-0007-1-2-${'a'.repeat(64)}`)
    for (const other of [
      'upload.json',
      newIncomingName(),
      commitName(1),
      `${name}~`,
      `x${name}`,
      name.slice(0, -1),
      name.replace('7', 'x'),
    ]) {
      expect(parsePartName(other)).toBeUndefined()
    }
    expect(parseCommitName(commitName(12))).toBe(12)
    expect([name, 'commit-', 'commit-1.5', 'commit-x'].map(parseCommitName)).toEqual([0, 0, 0, 0])
    expect([newIncomingName(), name, 'incoming-', 'incoming-../x'].map(isIncoming)).toEqual([
      true,
      false,
      false,
      false,
    ])
  })
})

describe('the id of an upload', () => {
  test('is new each time, and has a strict form', () => {
    const ids = Array.from({ length: 100 }, newUploadId)
    expect(new Set(ids).size).toBe(100)
    expect(ids.every(isUploadId)).toBe(true)
    const [id] = ids
    for (const text of [
      '',
      '.',
      '..',
      '../..',
      `${id}/..`,
      `${id}\n`,
      id.slice(1),
      `${id}0`,
      id.toUpperCase().replace(/\d/g, 'A'),
      `.${id}`,
    ]) {
      expect(isUploadId(text), text).toBe(false)
    }
  })

  test('with an ending names a record, and with a dot names no upload', () => {
    const id = newUploadId()
    expect(parseRecordName(`${id}.json`)).toBe(id)
    expect([id, `.${id}.json`, 'upload.json'].map(parseRecordName)).toEqual([undefined, undefined, undefined])
    expect([`.${id}`, id, '.gitkeep', '..'].map(isHidden)).toEqual([true, false, false, false])
  })
})
