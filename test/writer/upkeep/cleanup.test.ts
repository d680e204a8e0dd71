import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { openStore } from '../../../src/storage/open-store.ts'
import { Cleanup } from '../../../src/writer/upkeep/cleanup.ts'
import { sampleRecord } from '../../storage/samples.ts'
import { makeDirectory } from '../restart.ts'

const prepare = () => {
  const { store } = openStore(makeDirectory())
  const errors: unknown[] = []
  const cleanup = new Cleanup(store, (error) => errors.push(error))
  const addFile = (name: string): string => {
    const path = join(store.paths.snapshots, name)
    writeFileSync(path, 'a file')
    return path
  }
  return { store, errors, cleanup, addFile }
}

describe('Cleanup', () => {
  test('removes every record of a version through a sequence in several transactions, and no others', async () => {
    const { store, cleanup, errors } = prepare()
    const count = 3_000
    store.commit({ records: Array.from({ length: count }, (_, i) => sampleRecord(i + 1)) })
    store.commit({ records: [sampleRecord(1, { version: 2 })] })
    cleanup.records(1, 1, count - 2)
    await cleanup.whenIdle()
    expect(store.inspectJournal(1, 1).ranges).toEqual([{ first: count - 1, last: count }])
    expect(store.inspectJournal(1, 2).ranges).toEqual([{ first: 1, last: 1 }])
    expect(errors).toEqual([])
    store.close()
  })

  test('removes files, and a missing file is no error', async () => {
    const { store, cleanup, errors, addFile } = prepare()
    const [gone, kept] = ['a.safetensors', 'b.safetensors'].map(addFile)
    cleanup.files(['a.safetensors', 'never.safetensors'])
    await cleanup.whenIdle()
    expect([existsSync(gone), existsSync(kept), errors]).toEqual([false, true, []])
    store.close()
  })

  test('reports an error and continues', async () => {
    const { store, cleanup, errors, addFile } = prepare()
    const path = addFile('a.safetensors')
    cleanup.files([`${'long'.repeat(100)}`])
    cleanup.files(['a.safetensors'])
    await cleanup.whenIdle()
    expect([existsSync(path), errors]).toEqual([false, [expect.objectContaining({ code: 'ENAMETOOLONG' })]])
    store.close()
  })

  test('removes no records after a failure of the store, and no files that may still be listed', async () => {
    const { store, cleanup, errors, addFile } = prepare()
    const path = addFile('a.safetensors')
    store.commit({ records: [sampleRecord(1)] })
    store.classify('a test', Object.assign(new Error('broken'), { code: 'EIO' }))
    cleanup.records(1, 1, 1)
    cleanup.unlisted('a.safetensors')
    await cleanup.whenIdle()
    expect([store.inspectJournal(1, 1).ranges.length, existsSync(path), errors]).toEqual([1, true, []])
    store.close()
  })

  test('removes a file whose listing was refused', async () => {
    const { store, cleanup, addFile } = prepare()
    const path = addFile('a.safetensors')
    cleanup.unlisted('a.safetensors')
    await cleanup.whenIdle()
    expect(existsSync(path)).toBe(false)
    store.close()
  })
})
