import { expect, test } from 'vitest'
import { PreImageLog } from '../../../src/writer/updates/pre-images.ts'

const bytes = (...values: number[]) => Uint8Array.from(values)

test('A log stores only the first change of a row, and reads only rows of the range', () => {
  const log = new PreImageLog({ rowBytes: 2 }, 100)
  log.record(Int32Array.of(3, 9), bytes(1, 2, 3, 4))
  log.record(Int32Array.of(3, 5), bytes(9, 9, 5, 6))
  expect(log.read(0, 6)).toEqual({ rows: Int32Array.of(3, 5), bytes: bytes(1, 2, 5, 6) })
  expect(log.read(6, 10)).toEqual({ rows: Int32Array.of(9), bytes: bytes(3, 4) })
})

test('A log that would outgrow its bound refuses to be read instead of forgetting a row', () => {
  const log = new PreImageLog({ rowBytes: 2 }, 4)
  log.record(Int32Array.of(1, 2), bytes(1, 1, 2, 2))
  expect(log.read(0, 10).rows.length).toBe(2)
  log.record(Int32Array.of(3), bytes(3, 3))
  expect(() => log.read(0, 10)).toThrowError(expect.objectContaining({ code: 'OVERLOADED' }))
})
