import { existsSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type Staging, uploadPath } from '../../../src/upload/staging/layout.ts'
import { receivePart } from '../../../src/upload/staging/receive-part.ts'
import { sweepUploads } from '../../../src/upload/staging/sweep.ts'
import {
  createUpload,
  findOpenUpload,
  findUpload,
  listUploads,
  removeUpload,
} from '../../../src/upload/staging/uploads.ts'
import { makeOlder, openStaging, partOf, specification } from './staging.ts'

const code = (code: string) => expect.objectContaining({ code })

describe('a staged upload', () => {
  test('is stored on disk, visible to every HTTP worker and after a restart', async () => {
    using staging = openStaging()
    const asked = specification({
      bytes: 8,
      digest: 'sha-256=:x:',
      parameters: { rows: 2, optimizer: { kind: 'adam' } },
    })
    const { upload, parts, committed } = await createUpload(staging, asked)
    expect(upload).toMatchObject(asked)
    expect({ parts, committed }).toEqual({ parts: [], committed: null })
    const again = { directory: staging.directory, limits: staging.limits }
    expect(await findUpload(again, 'words', upload.id)).toMatchObject({ upload })
    expect((await listUploads(again, 'words')).map((state) => state.upload)).toEqual([upload])
  })

  test('is not readable by other users', async () => {
    using staging = openStaging()
    const { upload } = await createUpload(staging, specification())
    for (const path of [staging.directory, uploadPath(staging, upload.id)])
      expect(statSync(path).mode & 0o777).toBe(0o700)
    expect(statSync(join(uploadPath(staging, upload.id), 'upload.json')).mode & 0o777).toBe(0o600)
  })

  test('is refused when the data directory has been removed, which does not come back empty', async () => {
    using staging = openStaging()
    await createUpload(staging, specification())
    const dataDir = dirname(staging.directory)
    rmSync(dataDir, { recursive: true })
    await expect(createUpload(staging, specification())).rejects.toEqual(code('NOT_READY'))
    expect(existsSync(dataDir)).toBe(false)
  })

  test('belongs to one table', async () => {
    using staging = openStaging()
    const { upload } = await createUpload(staging, specification())
    for (const work of [findUpload, findOpenUpload, removeUpload]) {
      await expect(work(staging, 'other', upload.id)).rejects.toEqual(code('UPLOAD_NOT_FOUND'))
    }
    expect(await listUploads(staging, 'other')).toEqual([])
    expect(await listUploads(staging, 'words')).toHaveLength(1)
  })

  test('is unknown under any other id, also under one that is a path', async () => {
    using staging = openStaging()
    expect(await listUploads(staging, 'words')).toEqual([])
    const { upload } = await createUpload(staging, specification())
    for (const id of [
      '',
      '..',
      `../uploads/${upload.id}`,
      `${upload.id}/`,
      `${upload.id}/.`,
      'f'.repeat(32),
      upload.id.toUpperCase(),
    ]) {
      if (id !== upload.id)
        await expect(findUpload(staging, 'words', id), id).rejects.toEqual(code('UPLOAD_NOT_FOUND'))
    }
  })

  test('can be removed, with all its parts, once', async () => {
    using staging = openStaging()
    const { upload } = await createUpload(staging, specification())
    await receivePart(staging, upload, 0, partOf('part'))
    await removeUpload(staging, 'words', upload.id)
    expect(readdirSync(staging.directory)).toEqual([])
    await expect(removeUpload(staging, 'words', upload.id)).rejects.toEqual(code('UPLOAD_NOT_FOUND'))
  })

  test('expires when it is not used for too long, and a part extends its life', async () => {
    using staging = openStaging()
    const { limits } = staging
    const { upload, expiresAt } = await createUpload(staging, specification())
    // Time stamps of file systems are coarse.
    expect(Math.abs(expiresAt - upload.createdAt - limits.uploadAgeMsMax)).toBeLessThan(10_000)
    const path = uploadPath(staging, upload.id)
    makeOlder(path, limits.uploadAgeMsMax - 60_000)
    expect((await findUpload(staging, 'words', upload.id)).expiresAt).toBeLessThan(Date.now() + 61_000)
    await receivePart(staging, upload, 0, partOf('part'))
    expect((await findUpload(staging, 'words', upload.id)).expiresAt).toBeGreaterThan(
      Date.now() + limits.uploadAgeMsMax - 60_000,
    )
    makeOlder(path, limits.uploadAgeMsMax + 1_000)
    await expect(findUpload(staging, 'words', upload.id)).rejects.toEqual(code('UPLOAD_NOT_FOUND'))
    expect(await listUploads(staging, 'words')).toEqual([])
  })

  test('that a crash left incomplete does not exist, and others are still listed', async () => {
    using staging = openStaging()
    const [half, empty, later, whole] = await Promise.all(
      Array.from({ length: 4 }, () => createUpload(staging, specification())),
    )
    const file = (id: string) => join(uploadPath(staging, id), 'upload.json')
    writeFileSync(file(half.upload.id), '{"format":1,"ta')
    rmSync(file(empty.upload.id))
    writeFileSync(file(later.upload.id), '{"format":2,"table":"words"}')
    for (const { upload } of [half, empty, later]) {
      await expect(findUpload(staging, 'words', upload.id)).rejects.toEqual(code('UPLOAD_NOT_FOUND'))
    }
    expect((await listUploads(staging, 'words')).map(({ upload }) => upload.id)).toEqual([whole.upload.id])
  })
})

test('A clock that is a day ahead for one start ends no staged upload', async () => {
  using staging = openStaging()
  const { upload } = await createUpload(staging, specification())
  makeOlder(uploadPath(staging, upload.id), 25 * 60 * 60 * 1_000)
  const started: Staging = { ...staging, upMs: () => 1_000 }
  await sweepUploads(started)
  expect((await findUpload(started, 'words', upload.id)).expiresAt).toBeGreaterThan(Date.now() + 3_600_000)
  await sweepUploads(staging)
  await expect(findUpload(staging, 'words', upload.id)).rejects.toEqual(code('UPLOAD_NOT_FOUND'))
})

describe('a new staged upload is refused', () => {
  test('when there are too many, also for concurrent calls', async () => {
    using staging = openStaging({ uploadCountMax: 3 })
    const begun = await Promise.allSettled(
      Array.from({ length: 8 }, () => createUpload(staging, specification())),
    )
    const refused = begun.filter((result) => result.status === 'rejected')
    expect(refused.length).toBeGreaterThanOrEqual(5)
    for (const { reason } of refused) expect(reason).toEqual(code('OVERLOADED'))
    const there = await listUploads(staging, 'words')
    expect(there).toHaveLength(8 - refused.length)
    for (let i = there.length; i < 3; i++) await createUpload(staging, specification())
    await expect(createUpload(staging, specification())).rejects.toEqual(code('OVERLOADED'))
    expect(readdirSync(staging.directory)).toHaveLength(3)
  })

  test('when its table has too many, while other tables may still begin one', async () => {
    using staging = openStaging({ uploadTableCountMax: 2 })
    for (let i = 0; i < 2; i++) await createUpload(staging, specification())
    await expect(createUpload(staging, specification())).rejects.toMatchObject({
      code: 'OVERLOADED',
      message: expect.stringContaining('2 open uploads of table "words"'),
    })
    await createUpload(staging, specification({ table: 'other' }))
    expect(await listUploads(staging)).toHaveLength(3)
    expect(await listUploads(staging, 'other')).toHaveLength(1)
  })

  test.each([
    ['of its table', { uploadTableCountMax: 2 }],
    ['in all', { uploadCountMax: 2 }],
  ])('unless one %s has had no activity for an hour: the oldest gives way', async (_where, limits) => {
    using staging = openStaging(limits)
    const [old, busy] = [
      await createUpload(staging, specification()),
      await createUpload(staging, specification()),
    ]
    for (const { upload } of [old, busy])
      makeOlder(uploadPath(staging, upload.id), staging.limits.uploadYieldMsMin + 5_000)
    // A part that is being received is activity.
    writeFileSync(join(uploadPath(staging, busy.upload.id), `incoming-${'0'.repeat(32)}`), 'bytes')
    makeOlder(uploadPath(staging, busy.upload.id), staging.limits.uploadYieldMsMin + 9_000)
    const next = await createUpload(staging, specification())
    const there = (await listUploads(staging)).map(({ upload }) => upload.id)
    expect(there.toSorted()).toEqual([busy.upload.id, next.upload.id].toSorted())
    await expect(createUpload(staging, specification())).rejects.toEqual(code('OVERLOADED'))
  })

  test('when its announced size exceeds the limit or the space on disk', async () => {
    using staging = openStaging({ uploadStagedBytesMax: 100 })
    await expect(createUpload(staging, specification({ bytes: 101 }))).rejects.toEqual(code('BODY_TOO_LARGE'))
    await createUpload(staging, specification({ bytes: 100 }))
    using full = openStaging({ uploadDiskFreeBytesMin: Number.MAX_SAFE_INTEGER })
    await expect(createUpload(full, specification())).rejects.toEqual(code('DISK_FULL'))
    expect(readdirSync(full.directory)).toEqual([])
    using small = openStaging({ uploadStagedBytesMax: Number.MAX_SAFE_INTEGER })
    await expect(createUpload(small, specification({ bytes: 2 ** 52 }))).rejects.toEqual(code('DISK_FULL'))
  })
})
