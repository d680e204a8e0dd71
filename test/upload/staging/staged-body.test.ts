import { readdirSync, rmSync, statSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import {
  currentParts,
  listPartFiles,
  type PartFile,
  type Staging,
  uploadPath,
} from '../../../src/upload/staging/layout.ts'
import { receivePart } from '../../../src/upload/staging/receive-part.ts'
import { checkComplete, readParts } from '../../../src/upload/staging/staged-body.ts'
import { createUpload } from '../../../src/upload/staging/uploads.ts'
import { bodyOf } from '../bodies.ts'
import { openStaging, specification } from './staging.ts'

const parts = (...numbers: number[]): PartFile[] =>
  numbers.map((part) => ({ part, bytes: 5, sha256: '', stamp: 1, name: '' }))
const announced = (bytes: number | null) => ({ bytes })

describe('the parts of an upload are complete', () => {
  test('when they are numbered from 0 or 1 without a gap', () => {
    expect(checkComplete(announced(null), parts(0, 1, 2))).toBe(15)
    expect(checkComplete(announced(5), parts(1))).toBe(5)
    expect(checkComplete(announced(5), parts(0))).toBe(5)
    expect(checkComplete(announced(null), parts(...Array.from({ length: 10_000 }, (_, i) => i)))).toBe(50_000)
  })

  test.each([
    [[0, 2], [1]],
    [[2], [1]],
    [
      [1, 3, 6],
      [2, 4, 5],
    ],
    [[9_999], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]],
  ])('and not as %j, and what is missing is said', (there, missing) => {
    expect(() => checkComplete(announced(null), parts(...there))).toThrow(
      expect.objectContaining({
        code: 'INVALID_REQUEST',
        errors: missing.map((part) => ({ pointer: `/parts/${part}`, detail: 'is missing' })),
      }),
    )
  })

  test('if there is at least one, and their total is the announced one', () => {
    for (const [total, there] of [
      [null, parts()],
      [14, parts(0, 1, 2)],
      [16, parts(0, 1, 2)],
    ] as const) {
      expect(() => checkComplete(announced(total), there)).toThrow(
        expect.objectContaining({ code: 'INVALID_REQUEST' }),
      )
    }
  })
})

describe('the body of staged parts', () => {
  const stage = async (staging: Staging, ...contents: Buffer[]) => {
    const { upload } = await createUpload(staging, specification())
    for (const [part, content] of contents.entries())
      await receivePart(staging, upload, part, { chunks: bodyOf(content) })
    const directory = uploadPath(staging, upload.id)
    return { directory, files: currentParts(await listPartFiles(directory)) }
  }
  const read = async (directory: string, files: readonly PartFile[]): Promise<Buffer> => {
    const chunks: Buffer[] = []
    for await (const chunk of readParts(directory, files)) chunks.push(Buffer.from(chunk))
    return Buffer.concat(chunks)
  }
  const contents = [Buffer.alloc(1_300_000, 'long'), Buffer.alloc(0), Buffer.from('short')]

  test('consists of all parts in order', async () => {
    using staging = openStaging()
    const { directory, files } = await stage(staging, ...contents)
    expect((await read(directory, files)).equals(Buffer.concat(contents))).toBe(true)
  })

  test.each([
    ['cut', (path: string) => truncateSync(path, 1_000)],
    ['emptied', (path: string) => truncateSync(path, 0)],
    ['filled with zeros', (path: string) => writeFileSync(path, Buffer.alloc(1_300_000))],
    ['made longer', (path: string) => writeFileSync(path, 'x', { flag: 'a' })],
  ])('is refused when a part was %s on the disk, which is dropped to be sent again', async (_, damage) => {
    using staging = openStaging()
    const { directory, files } = await stage(staging, ...contents)
    damage(join(directory, files[0].name))
    await expect(read(directory, files)).rejects.toMatchObject({
      code: 'DIGEST_MISMATCH',
      message: expect.stringContaining('part 0'),
    })
    expect((await listPartFiles(directory)).map(({ part }) => part).sort()).toEqual([1, 2])
    expect(readdirSync(directory)).toContain(`damaged-${files[0].name}`)
  })

  test.each([
    ['fails once', 1, true],
    ['always fails', Infinity, false],
  ])('keeps every part when a read %s', async (_name, failCount, succeeds) => {
    using staging = openStaging()
    const { directory, files } = await stage(staging, ...contents)
    let failsLeft = failCount
    const handle = await open(join(directory, files[0].name))
    const prototype = Object.getPrototypeOf(handle) as typeof handle
    await handle.close()
    const { readv } = prototype
    prototype.readv = function (this: typeof handle, ...rest: Parameters<typeof readv>) {
      if (failsLeft-- > 0)
        return Promise.reject(Object.assign(new Error('EIO'), { code: 'EIO', syscall: 'read' }))
      return readv.apply(this, rest)
    } as typeof readv
    try {
      if (succeeds) expect((await read(directory, files)).equals(Buffer.concat(contents))).toBe(true)
      else await expect(read(directory, files)).rejects.toMatchObject({ code: 'EIO' })
    } finally {
      prototype.readv = readv
    }
    expect((await listPartFiles(directory)).map(({ part }) => part).sort()).toEqual([0, 1, 2])
  })

  test('is refused when a part was replaced meanwhile or is a link', async () => {
    using staging = openStaging()
    const { directory, files } = await stage(staging, ...contents)
    const path = join(directory, files[2].name)
    rmSync(path)
    await expect(read(directory, files)).rejects.toMatchObject({
      code: 'INVALID_REQUEST',
      message: expect.stringContaining('part 2'),
    })
    writeFileSync(join(directory, 'elsewhere'), 'short')
    symlinkSync(join(directory, 'elsewhere'), path)
    await expect(read(directory, files)).rejects.toMatchObject({ code: 'ELOOP' })
  })

  test('closes its file when it is not read to the end', async () => {
    using staging = openStaging()
    const { directory, files } = await stage(staging, ...contents)
    const isOpen = () => {
      const { ino } = statSync(join(directory, files[0].name))
      return readdirSync('/proc/self/fd').some(
        (fd) => statSync(join('/proc/self/fd', fd), { throwIfNoEntry: false })?.ino === ino,
      )
    }
    const body = readParts(directory, files)
    await body.next()
    if (process.platform === 'linux') expect(isOpen()).toBe(true)
    await body.return()
    if (process.platform === 'linux') expect(isOpen()).toBe(false)
  })
})
