import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import {
  currentParts,
  listPartFiles,
  type Staging,
  type Upload,
  uploadPath,
} from '../../../src/upload/staging/layout.ts'
import { receivePart } from '../../../src/upload/staging/receive-part.ts'
import { createUpload, findUpload, removeUpload } from '../../../src/upload/staging/uploads.ts'
import { filesOf, openStaging, partOf, sha256, specification } from './staging.ts'

const begin = async (staging: Staging, bytes: number | null = null): Promise<Upload> =>
  (await createUpload(staging, specification({ bytes }))).upload
const partsOf = async (staging: Staging, { id }: Upload) => (await findUpload(staging, 'words', id)).parts
const code = (code: string) => expect.objectContaining({ code })

/** A body that pauses before its last piece until the test resumes it. */
const pausedBody = (...pieces: string[]) => {
  const held = Promise.withResolvers<void>()
  async function* chunks() {
    for (const piece of pieces) yield Buffer.from(piece)
    await held.promise
  }
  return { chunks: chunks(), resume: held.resolve, fail: held.reject }
}

describe('a part of an upload', () => {
  test('exists unchanged when it is complete', async () => {
    using staging = openStaging()
    const upload = await begin(staging)
    const digest = sha256(Buffer.from('one part'))
    const part = { part: 7, bytes: 8, sha256: digest.toString('hex') }
    expect(
      await receivePart(staging, upload, 7, { ...partOf('one', '', ' ', 'part'), contentLength: 8, digest }),
    ).toEqual(part)
    expect(await receivePart(staging, upload, 0, partOf())).toMatchObject({ part: 0, bytes: 0 })
    const parts = await partsOf(staging, upload)
    expect(parts).toMatchObject([{ part: 0 }, part])
    const [, { name }] = currentParts(await listPartFiles(uploadPath(staging, upload.id)))
    expect(readFileSync(join(uploadPath(staging, upload.id), name), 'utf8')).toBe('one part')
  })

  test('does not exist while it is being received or after it was cut short', async () => {
    using staging = openStaging()
    const upload = await begin(staging)
    const { chunks, fail } = pausedBody('half')
    const cut = receivePart(staging, upload, 0, { chunks })
    await expect.poll(() => filesOf(uploadPath(staging, upload.id))).toHaveLength(1)
    expect(await partsOf(staging, upload)).toEqual([])
    fail(new Error('gone'))
    await expect(cut).rejects.toThrow('gone')
    expect(filesOf(uploadPath(staging, upload.id))).toEqual([])
  })

  test('replaces another with its number when it is complete, and not before', async () => {
    using staging = openStaging()
    const upload = await begin(staging)
    await receivePart(staging, upload, 1, partOf('first'))
    const { chunks, resume } = pausedBody('second', ' time')
    const second = receivePart(staging, upload, 1, { chunks })
    await expect.poll(() => filesOf(uploadPath(staging, upload.id))).toHaveLength(2)
    expect(await partsOf(staging, upload)).toMatchObject([{ part: 1, bytes: 5 }])
    resume()
    const sent = await second
    expect(await partsOf(staging, upload)).toEqual([{ ...(await partsOf(staging, upload))[0], ...sent }])
    expect(filesOf(uploadPath(staging, upload.id))).toHaveLength(1)
  })

  test('that is sent concurrently is one of the complete bodies', async () => {
    using staging = openStaging()
    const upload = await begin(staging)
    const sent = await Promise.all(
      Array.from({ length: 16 }, (_, i) => receivePart(staging, upload, 3, partOf(String(i)))),
    )
    const [part, ...others] = await partsOf(staging, upload)
    expect(others).toEqual([])
    expect(sent.map(({ sha256 }) => sha256)).toContain(part.sha256)
    await receivePart(staging, upload, 3, partOf('last'))
    expect(await partsOf(staging, upload)).toMatchObject([{ bytes: 4 }])
  })

  test('with a wrong digest does not replace the previous one', async () => {
    using staging = openStaging()
    const upload = await begin(staging)
    await receivePart(staging, upload, 0, partOf('good'))
    const damaged = receivePart(staging, upload, 0, {
      ...partOf('goob'),
      digest: sha256(Buffer.from('good')),
    })
    await expect(damaged).rejects.toEqual(code('DIGEST_MISMATCH'))
    expect(await partsOf(staging, upload)).toMatchObject([
      { sha256: sha256(Buffer.from('good')).toString('hex') },
    ])
    expect(filesOf(uploadPath(staging, upload.id))).toHaveLength(1)
  })

  test('is refused when its upload is deleted meanwhile', async () => {
    using staging = openStaging()
    const upload = await begin(staging)
    const { chunks, resume } = pausedBody('part')
    const sent = receivePart(staging, upload, 0, { chunks })
    await expect.poll(() => filesOf(uploadPath(staging, upload.id))).toHaveLength(1)
    await removeUpload(staging, 'words', upload.id)
    resume()
    await expect(sent).rejects.toEqual(code('UPLOAD_NOT_FOUND'))
    await expect(receivePart(staging, upload, 1, partOf('x'))).rejects.toEqual(code('UPLOAD_NOT_FOUND'))
    await expect.poll(() => readdirSync(staging.directory)).toEqual([])
  })
})

describe('a part that is too large', () => {
  const refuseBoth = async (staging: Staging, upload: Upload, text: string) => {
    const announced = partOf(text)
    await expect(
      receivePart(staging, upload, 1, { ...announced, contentLength: text.length }),
    ).rejects.toEqual(code('BODY_TOO_LARGE'))
    // An announced length is refused before the body is read.
    expect(announced.chunks.isClosed).toBe(false)
    let taken = 0
    async function* endless() {
      for (; taken < 1_000; taken++) yield Buffer.from(text)
    }
    await expect(receivePart(staging, upload, 1, { chunks: endless() })).rejects.toEqual(
      code('BODY_TOO_LARGE'),
    )
    expect(taken).toBeLessThan(2)
    expect(filesOf(uploadPath(staging, upload.id)).filter((name) => name.startsWith('incoming'))).toEqual([])
  }

  test('for a part', async () => {
    using staging = openStaging({ uploadPartBytesMax: 4 })
    const upload = await begin(staging)
    await receivePart(staging, upload, 1, partOf('four'))
    await refuseBoth(staging, upload, 'five!')
  })

  test('for the total that was announced', async () => {
    using staging = openStaging()
    const upload = await begin(staging, 10)
    await receivePart(staging, upload, 0, partOf('sixsix'))
    await refuseBoth(staging, upload, 'five!')
    await receivePart(staging, upload, 1, partOf('four'))
    // A part that replaces it may be as large.
    await receivePart(staging, upload, 1, partOf('vier'))
  })

  test('for all uploads together', async () => {
    using staging = openStaging({ uploadStagedBytesMax: 10 })
    const [upload, other] = [await begin(staging), await begin(staging)]
    await receivePart(staging, other, 0, partOf('six'))
    await receivePart(staging, upload, 0, partOf('six'))
    await refuseBoth(staging, upload, 'five!')
    await receivePart(staging, upload, 1, partOf('four'))
  })

  test('together with one that is received concurrently', async () => {
    using staging = openStaging()
    const upload = await begin(staging, 10)
    const [first, second] = [pausedBody('sixsix'), pausedBody('sixsix')]
    const sent = [receivePart(staging, upload, 0, first), receivePart(staging, upload, 1, second)]
    await expect.poll(() => filesOf(uploadPath(staging, upload.id))).toHaveLength(2)
    first.resume()
    await sent[0]
    second.resume()
    await expect(sent[1]).rejects.toEqual(code('BODY_TOO_LARGE'))
    expect(filesOf(uploadPath(staging, upload.id))).toHaveLength(1)
  })
})

describe('a full disk', () => {
  test('refuses a part while there is still space for tables', async () => {
    using staging = openStaging()
    const upload = await begin(staging)
    const full = {
      ...staging,
      limits: { ...staging.limits, uploadDiskFreeBytesMin: Number.MAX_SAFE_INTEGER },
    }
    await expect(receivePart(full, upload, 0, partOf('x'))).rejects.toEqual(code('DISK_FULL'))
    const announced = { ...partOf('x'), contentLength: 2 ** 52 }
    const large = {
      ...staging,
      limits: { ...staging.limits, uploadPartBytesMax: 2 ** 53, uploadStagedBytesMax: 2 ** 53 },
    }
    await expect(receivePart(large, upload, 0, announced)).rejects.toEqual(code('DISK_FULL'))
    expect(filesOf(uploadPath(staging, upload.id))).toEqual([])
  })

  test('is noticed in the middle of a long part', async () => {
    using staging = openStaging()
    const upload = await begin(staging)
    const limits = { ...staging.limits }
    const chunk = Buffer.alloc(8 * 1024 * 1024)
    let sent = 0
    async function* chunks() {
      for (; sent < 20; sent++) {
        yield chunk
        limits.uploadDiskFreeBytesMin = Number.MAX_SAFE_INTEGER
      }
    }
    await expect(receivePart({ ...staging, limits }, upload, 0, { chunks: chunks() })).rejects.toEqual(
      code('DISK_FULL'),
    )
    expect(sent).toBe(7)
    expect(filesOf(uploadPath(staging, upload.id))).toEqual([])
  })

  test('leaves no file of a part that fails with an error', async () => {
    using staging = openStaging()
    const upload = await begin(staging)
    const { chunks, fail } = pausedBody('x')
    const sent = receivePart(staging, upload, 0, { chunks })
    await expect.poll(() => filesOf(uploadPath(staging, upload.id))).toHaveLength(1)
    fail(Object.assign(new Error('no space'), { code: 'ENOSPC' }))
    await expect(sent).rejects.toEqual(code('DISK_FULL'))
    expect(filesOf(uploadPath(staging, upload.id))).toEqual([])
  })
})

test('Every HTTP worker chooses the same of two files with one stamp, and ignores others', async () => {
  using staging = openStaging()
  const upload = await begin(staging)
  const directory = uploadPath(staging, upload.id)
  const name = (part: number, stamp: number, digit: string) =>
    `part-000${part}-${stamp}-1-${digit.repeat(64)}`
  const names = [
    name(1, 2, 'a'),
    name(1, 2, 'b'),
    name(1, 1, 'c'),
    name(0, 10, 'd'),
    name(0, 9, 'e'),
    'part-1',
    '.DS_Store',
  ]
  for (const name of names) writeFileSync(join(directory, name), 'x')
  mkdirSync(join(directory, 'lost+found'))
  expect(await partsOf(staging, upload)).toMatchObject([
    { part: 0, sha256: 'd'.repeat(64) },
    { part: 1, sha256: 'b'.repeat(64) },
  ])
  // The stamp of the next part is higher than all others.
  await receivePart(staging, upload, 1, partOf('next'))
  expect(await partsOf(staging, upload)).toMatchObject([{ part: 0 }, { part: 1, bytes: 4, stamp: 3 }])
})
