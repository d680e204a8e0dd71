import { expect, test } from 'vitest'
import { countBytes, currentParts, type PartFile } from '../../../src/upload/staging/layout.ts'

const file = (part: number, stamp: number, name = ''): PartFile => ({
  part,
  stamp,
  bytes: part,
  sha256: '',
  name,
})

test('The file with the highest stamp is the part, and parts are in the order of their numbers', () => {
  const files = [file(10, 1), file(2, 9), file(2, 10), file(1, 1), file(2, 1), file(0, 3)]
  const parts = currentParts(files)
  expect(parts).toEqual([file(0, 3), file(1, 1), file(2, 10), file(10, 1)])
  expect(countBytes(parts)).toBe(13)
  expect(currentParts(files.toReversed())).toEqual(parts)
})

test('The choice between two files with one stamp does not depend on the order of listing', () => {
  const [a, b] = [file(1, 2, 'a'), file(1, 2, 'b')]
  expect(currentParts([a, b])).toEqual([b])
  expect(currentParts([b, a])).toEqual([b])
})
