import fs from 'node:fs'
import { closeSync, openSync, writeFileSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { readFully, readFullySync } from '../../src/system/reads.ts'

const path = join(tmpdir(), `gatherd-reads-${process.pid}`)
const bytes = Buffer.from('0123456789')
writeFileSync(path, bytes)
const failure = Object.assign(new Error('EIO: i/o error, read'), { code: 'EIO', syscall: 'read' })

/** What each read in turn does instead of reading everything: it fails, or returns this many bytes. */
type Faults = ('EIO' | number)[]

const { readSync } = fs
afterEach(() => {
  fs.readSync = readSync
  syncBuiltinESMExports()
})

const readWithFaultsSync = (faults: Faults, length: number): [number, string] => {
  const left = [...faults]
  fs.readSync = ((descriptor: number, buffer: Uint8Array, offset: number, count: number, at: number) => {
    const fault = left.shift()
    if (fault === 'EIO') throw failure
    return fault === 0 ? 0 : readSync(descriptor, buffer, offset, Math.min(fault ?? count, count), at)
  }) as typeof readSync
  syncBuiltinESMExports()
  const descriptor = openSync(path, 'r')
  const buffer = Buffer.alloc(length)
  try {
    const bytesRead = readFullySync(descriptor, buffer, 2)
    return [bytesRead, buffer.toString('latin1', 0, bytesRead)]
  } finally {
    closeSync(descriptor)
  }
}

const readWithFaults = async (faults: Faults, length: number): Promise<[number, string]> => {
  const left = [...faults]
  const file = await open(path)
  const handle = {
    stat: () => file.stat(),
    readv: async (views: Uint8Array[], at: number) => {
      const fault = left.shift()
      if (fault === 'EIO') throw failure
      if (fault === 0) return { bytesRead: 0 }
      return file.readv(fault === undefined ? views : [views[0].subarray(0, fault)], at)
    },
  } as unknown as FileHandle
  const buffer = Buffer.alloc(length)
  try {
    const bytesRead = await readFully(handle, [buffer.subarray(0, 3), buffer.subarray(3)], 2)
    return [bytesRead, buffer.toString('latin1', 0, bytesRead)]
  } finally {
    await file.close()
  }
}

describe.each([
  ['that blocks', async (faults: Faults, length: number) => readWithFaultsSync(faults, length)],
  ['that does not block', readWithFaults],
])('A read %s', (_name, read) => {
  test('returns what was asked for, or what the file has', async () => {
    expect(await read([], 6)).toEqual([6, '234567'])
    expect(await read([], 20)).toEqual([8, '23456789'])
  })

  test.each([[['EIO'] as Faults], [['EIO', 'EIO'] as Faults], [[0] as Faults], [[1, 2, 0] as Faults]])(
    'returns everything although single reads fail or fall short: %j',
    async (faults) => {
      expect(await read(faults, 8)).toEqual([8, '23456789'])
    },
  )

  test.each([[['EIO', 'EIO', 'EIO'] as Faults], [[0, 0, 0] as Faults]])(
    'fails with EIO when every try fails, and is never short for that: %j',
    async (faults) => {
      await expect(read(faults, 8)).rejects.toMatchObject({ code: 'EIO', syscall: 'read' })
    },
  )
})
