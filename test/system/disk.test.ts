import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { isDiskFullCode, syncDirectory, syncDirectoryAsync } from '../../src/system/disk.ts'

test('A full disk and a used up quota are told by their codes, other errors are not', () => {
  expect(['ENOSPC', 'EDQUOT'].map(isDiskFullCode)).toEqual([true, true])
  expect(['EIO', 'ENOENT', '', undefined].map(isDiskFullCode)).toEqual([false, false, false, false])
})

test('A directory is synced, and one that is missing is an error', async () => {
  const missing = join(tmpdir(), 'gatherd-no-such-directory')
  expect(() => syncDirectory(tmpdir())).not.toThrow()
  await expect(syncDirectoryAsync(tmpdir())).resolves.toBeUndefined()
  expect(() => syncDirectory(missing)).toThrow('ENOENT')
  await expect(syncDirectoryAsync(missing)).rejects.toThrow('ENOENT')
})
