import { expect, test, vi } from 'vitest'
import { createTableMemory } from '../../src/kernels/memories.ts'
import { TableReader } from '../../src/tables/table-reader.ts'
import { TableWriter } from '../../src/tables/table-writer.ts'

const openViews = () => {
  const handle = {
    key: 'v1',
    version: 1,
    rows: 1,
    dim: 1,
    dtype: 'float32' as const,
    createdAt: 0,
    segments: [{ memory: createTableMemory(65_536), firstRow: 0, rowCount: 1 }],
  }
  return { reader: new TableReader(handle), writer: new TableWriter(handle) }
}

test('The sequence counts beyond 32 bits, and is in place when the lock is even again', () => {
  const { reader, writer } = openViews()
  const sequence = 2 ** 33 + 2 ** 31 + 5
  writer.write({ sequence, step: 7, nowMs: 1234 }, () => expect(reader.readLock()).toBe(1))
  expect(reader.readLock()).toBe(2)
  expect(reader.readSequence()).toBe(sequence)
  expect(writer.readSequence()).toBe(sequence)
  expect([writer.readStep(), reader.readUpdatedAt(), writer.readUpdatedAt()]).toEqual([7, 1234, 1234])
})

test('A write inside a write is a mistake of ours', () => {
  const { writer } = openViews()
  expect(() =>
    writer.write({ sequence: 1, step: 0, nowMs: 0 }, () =>
      writer.write({ sequence: 2, step: 0, nowMs: 0 }, () => {}),
    ),
  ).toThrowError(/one writer/)
})

test('A retired version reports once, when its last pin is gone', () => {
  const { reader } = openViews()
  const report = vi.fn()
  reader.pin()
  reader.pin()
  reader.retire(report)
  reader.unpin()
  expect(report).not.toHaveBeenCalled()
  reader.unpin()
  expect(report).toHaveBeenCalledOnce()
  expect(() => reader.unpin()).toThrowError(/more often/)
})
