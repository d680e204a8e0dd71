import { mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { GatherdError } from '../../../src/core/errors.ts'
import {
  createFile,
  readJson,
  toUploadError,
  workOnDisk,
  writeDurably,
  writeWhole,
} from '../../../src/upload/staging/disk.ts'

const root = mkdtempSync(join(tmpdir(), 'gatherd-test-disk-'))
afterAll(() => rmSync(root, { recursive: true }))

const systemError = (code: string) =>
  Object.assign(new Error(`${code}: /secret/path`), { code, syscall: 'write' })

describe('an error of the file system', () => {
  test.each([
    ['ENOSPC', 'DISK_FULL'],
    ['EDQUOT', 'DISK_FULL'],
    ['EROFS', 'NOT_READY'],
    ['EIO', 'NOT_READY'],
    ['ENOENT', 'UPLOAD_NOT_FOUND'],
  ])('as %s is %s, without a path', async (system, code) => {
    const cause = systemError(system)
    const failure = workOnDisk(() => Promise.reject(cause))
    await expect(failure).rejects.toMatchObject({ code, cause })
    await expect(failure).rejects.not.toMatchObject({ message: expect.stringContaining('/secret') })
  })

  test('is thrown unchanged when clients should not see it, and so is a refusal', () => {
    for (const error of [
      new Error('ours'),
      systemError('EBADF'),
      new GatherdError('NON_FINITE', 'x'),
      undefined,
    ]) {
      expect(toUploadError(error)).toBe(error)
    }
  })
})

describe('a staged file', () => {
  test('is readable by its user only, and never replaces a file or a link', async () => {
    const path = join(root, 'new')
    await (await createFile(path)).close()
    expect(statSync(path).mode & 0o777).toBe(0o600)
    await expect(createFile(path)).rejects.toMatchObject({ code: 'EEXIST' })
    symlinkSync(join(root, 'elsewhere'), join(root, 'link'))
    await expect(createFile(join(root, 'link'))).rejects.toMatchObject({ code: 'EEXIST' })
  })

  test('gets all bytes, also when the system writes them in pieces', async () => {
    const taken: number[] = []
    const write = async (bytes: Uint8Array, at: number, length: number) => {
      const bytesWritten = Math.min(length, 3)
      taken.push(...bytes.subarray(at, at + bytesWritten))
      return { bytesWritten }
    }
    await writeWhole({ write } as unknown as FileHandle, Uint8Array.of(1, 2, 3, 4, 5, 6, 7))
    expect(taken).toEqual([1, 2, 3, 4, 5, 6, 7])
  })

  test('is read as JSON, and is null when it is incomplete or missing', async () => {
    await writeDurably(join(root, 'whole'), '{"a":1}')
    expect(readFileSync(join(root, 'whole'), 'utf8')).toBe('{"a":1}')
    writeFileSync(join(root, 'half'), '{"a"')
    expect(await Promise.all(['whole', 'half', 'none'].map((name) => readJson(join(root, name))))).toEqual([
      { a: 1 },
      undefined,
      undefined,
    ])
    await expect(readJson(root)).rejects.toMatchObject({ code: 'EISDIR' })
  })
})
