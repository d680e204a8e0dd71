import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { readSyncedWatermark, SyncedWatermark } from '../../src/storage/synced-watermark.ts'
import { makeFolder } from './samples.ts'

const SYNCED = { salts: [0xdeadbeef, 7] as const, frameCount: 123_456 }

const writeSample = (): string => {
  const path = join(makeFolder(), 'os.mark')
  const mark = new SyncedWatermark(path)
  mark.write({ salts: [1, 2], frameCount: 3 })
  mark.write(SYNCED)
  mark.close()
  return path
}

describe('The synced watermark', () => {
  test('reads back the value that was written last', () => {
    expect(readSyncedWatermark(writeSample())).toEqual({ ...SYNCED, isCleared: true })
  })

  test('has no value when its file is missing, cut or damaged', () => {
    const path = writeSample()
    const bytes = readFileSync(path)
    expect(readSyncedWatermark(`${path}-none`)).toBe(null)
    for (let length = 0; length < bytes.length; length++) {
      writeFileSync(path, bytes.subarray(0, length))
      expect(readSyncedWatermark(path)).toBe(null)
    }
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const copy = Buffer.from(bytes)
      copy[bit >> 3] ^= 1 << (bit & 7)
      writeFileSync(path, copy)
      expect(readSyncedWatermark(path)).toBe(null)
    }
  })
})
