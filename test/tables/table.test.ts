import { expect, test, vi } from 'vitest'
import { createTableMemory } from '../../src/kernels/memories.ts'
import { TableVersion } from '../../src/tables/table.ts'

const createVersion = () =>
  new TableVersion({
    key: 'v1',
    version: 1,
    rows: 1,
    dim: 1,
    dtype: 'float32',
    createdAt: 0,
    segments: [{ memory: createTableMemory(65_536), firstRow: 0, rowCount: 1 }],
  })

test('The sequence counts beyond 32 bits, and is written before the lock is even again', () => {
  const version = createVersion()
  const sequence = 2 ** 33 + 2 ** 31 + 5
  version.write({ sequence, step: 7, nowMs: 1234 }, () => expect(version.readLock()).toBe(1))
  expect(version.readLock()).toBe(2)
  expect(version.readSequence()).toBe(sequence)
  expect([version.readStep(), version.readUpdatedAt()]).toEqual([7, 1234])
})

test('A table asserts that writes are not nested', () => {
  const version = createVersion()
  expect(() =>
    version.write({ sequence: 1, step: 0, nowMs: 0 }, () =>
      version.write({ sequence: 2, step: 0, nowMs: 0 }, () => {}),
    ),
  ).toThrowError(/one writer/)
})

test('A retired version reports once, when its last pin is released', () => {
  const version = createVersion()
  const report = vi.fn()
  version.pin()
  version.pin()
  version.retire(report)
  version.unpin()
  expect(report).not.toHaveBeenCalled()
  version.unpin()
  expect(report).toHaveBeenCalledOnce()
  expect(() => version.unpin()).toThrowError(/more often/)
})
