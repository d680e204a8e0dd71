import fs, { constants, readdirSync, readFileSync, truncateSync } from 'node:fs'
import fsPromises from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { putTable } from '../helpers/writer.ts'
import { crash, makeDirectory, openWriter, send } from '../writer/restart.ts'
import { runCommand } from './terminal.ts'

const { openSync } = fs
const { open } = fsPromises
afterEach(() => {
  fs.openSync = openSync
  fsPromises.open = open
  syncBuiltinESMExports()
})

/** Makes a directory with a table and updates, which kill -9 leaves. */
const makeCrashed = async (): Promise<string> => {
  const opened = await openWriter(makeDirectory())
  await putTable(opened.client, { name: 'user', rows: 2, dim: 1 })
  for (const value of [1, 2, 3]) await send(opened, [0], [value])
  return crash(opened.dataDir)
}

/** Makes the directory answer as one on a file system that is mounted read-only. */
const mountReadOnly = (directory: string): void => {
  const writing = constants.O_RDWR | constants.O_WRONLY | constants.O_CREAT
  fs.openSync = (path, flags, mode) => {
    if (String(path).startsWith(directory) && typeof flags === 'number' && (flags & writing) !== 0)
      throw Object.assign(new Error('EROFS'), { code: 'EROFS', syscall: 'open' })
    return openSync(path, flags, mode)
  }
  syncBuiltinESMExports()
}

/** Makes every read of a snapshot of the directory fail with EIO. */
const failReads = (directory: string): void => {
  fsPromises.open = async (path, ...rest) => {
    const handle = await open(path, ...rest)
    if (String(path).startsWith(join(directory, 'snapshots')))
      handle.readv = () => Promise.reject(Object.assign(new Error('EIO'), { code: 'EIO', syscall: 'read' }))
    return handle
  }
  syncBuiltinESMExports()
}

const contentsOf = (directory: string): Record<string, string> =>
  Object.fromEntries(
    readdirSync(directory)
      .filter((name) => name.includes('.'))
      .map((name) => [name, readFileSync(join(directory, name)).toString('base64')]),
  )

describe('gatherd verify of a file system that is mounted read-only', () => {
  test('tells what a start on a writable one would load, and leaves no copy behind', async () => {
    const directory = await makeCrashed()
    const before = contentsOf(directory)
    const copies = readdirSync(tmpdir()).filter((name) => name.startsWith('gatherd-verify-'))
    mountReadOnly(directory)
    const { code, printed } = await runCommand(['verify', directory])
    expect([code, printed]).toEqual([0, expect.stringMatching(/at sequence 0, and updates 1 to 3\nok: /)])
    expect(contentsOf(directory)).toEqual(before)
    expect(readdirSync(tmpdir()).filter((name) => name.startsWith('gatherd-verify-'))).toEqual(copies)
  })

  test('names the damaged file of the directory, not that of the copy', async () => {
    const directory = await makeCrashed()
    truncateSync(join(directory, 'catalog.db-wal'), 8000)
    mountReadOnly(directory)
    const { code, reported } = await runCommand(['verify', directory])
    expect([code, reported]).toEqual([3, expect.stringContaining(`gatherd: ${directory}/catalog.db-wal: `)])
  })

  test('is refused to a start, by that word', async () => {
    const directory = await makeCrashed()
    mountReadOnly(directory)
    await expect(openWriter(directory)).rejects.toMatchObject({ code: 'ReadOnly', exitCode: 1 })
  })
})

describe('A snapshot that the disk does not read', () => {
  test.each([false, true])(
    'refuses a start and gatherd verify by that word, and is whole afterwards (recovery may go back: %s)',
    async (goesBack) => {
      const directory = await makeCrashed()
      const files = readdirSync(join(directory, 'snapshots'))
      failReads(directory)
      const refused = { code: 'Unreadable', message: expect.stringMatching(/EIO.*nothing was changed/) }
      await expect(openWriter(directory, { goesBack })).rejects.toMatchObject(refused)
      const { code, reported } = await runCommand(['verify', directory])
      expect([code, reported]).toEqual([1, expect.stringContaining('the disk reports an error (EIO)')])
      fsPromises.open = open
      syncBuiltinESMExports()
      expect(readdirSync(join(directory, 'snapshots'))).toEqual(files)
      const again = await openWriter(directory)
      expect(again.writer.find('user').current.table.readSequence()).toBe(3)
    },
  )
})
