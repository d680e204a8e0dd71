import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { commitUpload } from '../../../src/upload/staging/commit.ts'
import {
  hiddenPath,
  newIncomingName,
  recordPath,
  type Staging,
  type Upload,
  uploadPath,
} from '../../../src/upload/staging/layout.ts'
import { receivePart } from '../../../src/upload/staging/receive-part.ts'
import { keepSweeping, sweepUploads } from '../../../src/upload/staging/sweep.ts'
import { createUpload, findUpload, listUploads } from '../../../src/upload/staging/uploads.ts'
import { filesOf, makeOlder, openStaging, partOf, someTable, specification } from './staging.ts'

const stage = async (staging: Staging): Promise<Upload> => {
  const { upload } = await createUpload(staging, specification())
  await receivePart(staging, upload, 0, partOf('part'))
  return upload
}
const commit = (staging: Staging, { id }: Upload) =>
  commitUpload(staging, 'words', id, async () => ({ created: true, info: someTable, revision: 0 }))

describe('a sweep of staged uploads', () => {
  test('does nothing without uploads', async () => {
    using staging = openStaging()
    await sweepUploads(staging)
    expect(await listUploads(staging, 'words')).toEqual([])
  })

  test('removes abandoned uploads, and no others', async () => {
    using staging = openStaging()
    const { uploadAgeMsMax } = staging.limits
    const [old, young] = [await stage(staging), await stage(staging)]
    makeOlder(uploadPath(staging, old.id), uploadAgeMsMax + 1_000)
    makeOlder(uploadPath(staging, young.id), uploadAgeMsMax - 60_000)
    await sweepUploads(staging)
    expect(readdirSync(staging.directory)).toEqual([young.id])
    expect(await findUpload(staging, 'words', young.id)).toMatchObject({ parts: [{ part: 0 }] })
  })

  test('removes old records of commits, and the oldest of too many', async () => {
    using staging = openStaging({ uploadRememberedCountMax: 2 })
    const old = await stage(staging)
    await commit(staging, old)
    makeOlder(recordPath(staging, old.id), staging.limits.uploadRememberedMsMax + 1_000)
    await sweepUploads(staging)
    expect(readdirSync(staging.directory)).toEqual([])
    const uploads = [await stage(staging), await stage(staging), await stage(staging)]
    const ages = [3_000, 1_000, 2_000]
    for (const [i, upload] of uploads.entries()) {
      await commit(staging, upload)
      makeOlder(recordPath(staging, upload.id), ages[i])
    }
    await sweepUploads(staging)
    expect(readdirSync(staging.directory).sort()).toEqual(
      [`${uploads[1].id}.json`, `${uploads[2].id}.json`].sort(),
    )
  })

  test('removes leftovers of crashes: incomplete parts and uploads, and committed parts', async () => {
    using staging = openStaging()
    const leftoverMs = 10 * staging.limits.uploadIdleMsMax
    const [open, committed] = [await stage(staging), await stage(staging)]
    await commit(staging, committed)
    mkdirSync(uploadPath(staging, committed.id))
    const [cut, coming] = [newIncomingName(), newIncomingName()]
    for (const name of [cut, coming]) writeFileSync(join(uploadPath(staging, open.id), name), 'half')
    makeOlder(join(uploadPath(staging, open.id), cut), leftoverMs + 1_000)
    const [half, beingMade] = [hiddenPath(staging), hiddenPath(staging)]
    for (const path of [half, beingMade]) {
      mkdirSync(path)
      writeFileSync(join(path, 'upload.json'), '')
    }
    makeOlder(half, leftoverMs + 1_000)
    await sweepUploads(staging)
    expect(
      readdirSync(staging.directory)
        .map((name) => join(staging.directory, name))
        .sort(),
    ).toEqual([uploadPath(staging, open.id), recordPath(staging, committed.id), beingMade].sort())
    expect(filesOf(uploadPath(staging, open.id)).filter((name) => !name.startsWith('part-'))).toEqual([
      coming,
    ])
  })

  test('does not touch foreign files', async () => {
    using staging = openStaging()
    await stage(staging)
    const names = ['notes.txt', '.gitkeep', 'f'.repeat(31)]
    for (const name of names) {
      mkdirSync(join(staging.directory, name))
      makeOlder(join(staging.directory, name), 2 * staging.limits.uploadRememberedMsMax)
    }
    await sweepUploads(staging)
    expect(readdirSync(staging.directory)).toEqual(expect.arrayContaining(names))
  })

  test('can run in all HTTP workers concurrently', async () => {
    using staging = openStaging()
    const uploads = await Promise.all(Array.from({ length: 10 }, () => stage(staging)))
    for (const { id } of uploads) makeOlder(uploadPath(staging, id), staging.limits.uploadAgeMsMax + 1_000)
    await Promise.all(Array.from({ length: 5 }, () => sweepUploads(staging)))
    expect(readdirSync(staging.directory)).toEqual([])
  })
})

describe('periodic sweeping', () => {
  afterEach(() => {
    vi.useRealTimers()
  })

  test('begins at once, repeats, and stops', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    using staging = openStaging()
    const old = async () =>
      makeOlder(uploadPath(staging, (await stage(staging)).id), staging.limits.uploadAgeMsMax + 1_000)
    await old()
    const stop = keepSweeping(staging, (error) => expect(error).toBeUndefined())
    await expect.poll(() => readdirSync(staging.directory)).toEqual([])
    await old()
    vi.advanceTimersByTime(staging.limits.uploadSweepMs)
    await expect.poll(() => readdirSync(staging.directory)).toEqual([])
    stop()
    expect(vi.getTimerCount()).toBe(0)
  })

  test('reports errors', async () => {
    using staging = openStaging()
    mkdirSync(join(staging.directory, '..'), { recursive: true })
    rmSync(staging.directory, { force: true, recursive: true })
    writeFileSync(staging.directory, 'no directory')
    const failed = Promise.withResolvers<unknown>()
    keepSweeping(staging, failed.resolve)()
    expect(await failed.promise).toMatchObject({ code: 'ENOTDIR' })
  })
})
