import { chmodSync, existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { describe, expect, test } from 'vitest'
import { StoredDataRefusal } from '../../src/storage/refusals.ts'
import { errorOf, makeFolder, openSample } from './samples.ts'

const messageOf = (directory: string): string => {
  const error = errorOf(() => openSample(directory))
  expect(error).toBeInstanceOf(StoredDataRefusal)
  const { message } = error as StoredDataRefusal
  expect(message).not.toContain('\n')
  return message
}

describe('A place that cannot be a data directory', () => {
  test.skipIf(!existsSync('/proc'))('is refused where no directory can be created, as in /proc', () => {
    expect(messageOf('/proc/x')).toMatch(/^\/proc\/x: no directory can be created in \/proc; /)
    expect(messageOf('/proc/x/y')).toContain('no directory can be created in /proc; ')
  })

  test('is refused when it, or a part of its path, is a file', () => {
    const file = join(makeFolder(), 'file')
    writeFileSync(file, 'x')
    for (const path of [file, join(file, 'data'), join(file, 'a', 'b')])
      expect(messageOf(path)).toMatch(new RegExp(`^${file}: it is not a directory; `))
  })

  test('is refused when it is a symbolic link to nothing', () => {
    const link = join(makeFolder(), 'link')
    symlinkSync('/no/such/place', link)
    expect(messageOf(link)).toMatch(/it is a symbolic link to nothing; /)
  })

  test.skipIf(process.getuid?.() === 0)('is refused without the permission to use it', () => {
    const folder = makeFolder()
    chmodSync(folder, 0o500)
    expect(messageOf(join(folder, 'data'))).toMatch(/it cannot be opened \(EACCES\); give this user access/)
    chmodSync(folder, 0o700)
  })

  test('is refused when it has files of something else, which stay as they are', () => {
    const folder = makeFolder()
    for (const name of ['photos', 'notes.txt', 'a', 'b']) writeFileSync(join(folder, name), 'x')
    expect(messageOf(folder)).toBe(
      `${folder}: it is not a data directory of gatherd, but has other files: a, b, notes.txt and 1 more; ` +
        'choose an empty directory with GATHERD_DATA_DIR',
    )
    expect(readdirSync(folder).sort()).toEqual(['a', 'b', 'notes.txt', 'photos'])
  })

  test('is not one that only has what a volume begins with, or a start that was cut off', () => {
    const folder = makeFolder()
    mkdirSync(join(folder, 'lost+found'))
    for (const name of ['.gitkeep', 'lock', 'catalog.db.new', 'catalog.mark'])
      writeFileSync(join(folder, name), '')
    openSample(folder).close()
    // Once it is a data directory, files of others are none of our business.
    writeFileSync(join(folder, 'notes.txt'), '')
    openSample(folder)
  })

  test('is not one whose parents do not exist yet', () => {
    openSample(join(makeFolder(), 'a', 'b', 'data'))
  })
})
