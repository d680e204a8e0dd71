import { statSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { LIMITS } from '../../src/core/limits.ts'
import { SpaceReserve } from '../../src/storage/space-reserve.ts'
import { errorOf, FaultySqlite, makeFolder, openSample, sampleChanges, sampleRecord } from './samples.ts'

const FULL = 13

describe('The space reserve', () => {
  test('takes up space until it is released', () => {
    const path = join(makeFolder(), 'reserve')
    const reserve = new SpaceReserve(path)
    expect(reserve.isReleased).toBe(true)
    expect(reserve.fill()).toBe(true)
    expect([statSync(path).size, reserve.isReleased]).toEqual([LIMITS.diskReserveBytes, false])
    expect(statSync(path).blocks * 512).toBeGreaterThanOrEqual(LIMITS.diskReserveBytes)
    reserve.release()
    expect([statSync(path).size, reserve.isReleased]).toEqual([0, true])
    reserve.close()
  })

  test('is released for a deletion on a full disk, and for nothing else', () => {
    const sqlite = new FaultySqlite()
    const store = openSample(makeFolder(), { open: sqlite.open })
    store.commit({ changes: sampleChanges(), records: [sampleRecord(1)] })
    const { reserve } = store.paths
    // The disk is full for every commit, until the reserve is gone.
    const isFull = (): boolean => statSync(reserve).size > 0
    Object.defineProperty(sqlite, 'fault', {
      get: () => (isFull() ? { sql: 'COMMIT', errcode: FULL } : null),
    })
    expect(errorOf(() => store.commit({ records: [sampleRecord(2)] }))).toMatchObject({ code: 'DISK_FULL' })
    expect(errorOf(() => store.commit({ changes: sampleChanges() }))).toMatchObject({ code: 'DISK_FULL' })
    expect(isFull()).toBe(true)
    store.commit({ changes: [{ kind: 'delete-table', tableId: 1 }] })
    expect([isFull(), store.load().tables]).toEqual([false, []])
    expect(store.pruneJournal(1, 1, 1)).toBe(true)
    store.tidyUp(true)
    expect(isFull()).toBe(true)
    store.close()
  })
})
