import { cpSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { GatherdError } from '../../../src/core/errors.ts'
import { commitUpload, type StoreBody } from '../../../src/upload/staging/commit.ts'
import { recordPath, type Staging, uploadPath } from '../../../src/upload/staging/layout.ts'
import { receivePart } from '../../../src/upload/staging/receive-part.ts'
import {
  createUpload,
  findOpenUpload,
  findUpload,
  listUploads,
  removeUpload,
} from '../../../src/upload/staging/uploads.ts'
import { filesOf, makeOlder, openStaging, partOf, someTable, specification } from './staging.ts'

const code = (code: string) => expect.objectContaining({ code })
const done = { created: true, info: someTable, revision: 0 }

/** Makes a store that collects bodies in a list. */
const collector = () => {
  const bodies: string[] = []
  const store: StoreBody = async (_upload, body, bytes) => {
    const chunks: Buffer[] = []
    for await (const chunk of body) chunks.push(Buffer.from(chunk))
    const whole = Buffer.concat(chunks)
    expect(whole).toHaveLength(bytes)
    bodies.push(whole.toString())
    return done
  }
  return { bodies, store }
}

/** Stages an upload of two parts, sent in the wrong order. */
const stage = async (staging: Staging): Promise<string> => {
  const { upload } = await createUpload(staging, specification())
  await receivePart(staging, upload, 1, partOf('world'))
  await receivePart(staging, upload, 0, partOf('hello '))
  return upload.id
}

describe('a commit of staged parts', () => {
  test('stores the parts in the order of their numbers, and removes them', async () => {
    using staging = openStaging()
    const id = await stage(staging)
    const { bodies, store } = collector()
    expect(await commitUpload(staging, 'words', id, store)).toEqual(done)
    expect(bodies).toEqual(['hello world'])
    expect(readdirSync(staging.directory)).toEqual([`${id}.json`])
    expect(statSync(recordPath(staging, id)).mode & 0o777).toBe(0o600)
  })

  test('returns the same answer when it is repeated, as long as its record exists', async () => {
    using staging = openStaging()
    const id = await stage(staging)
    const { bodies, store } = collector()
    for (let i = 0; i < 3; i++) expect(await commitUpload(staging, 'words', id, store)).toEqual(done)
    expect(bodies).toHaveLength(1)
    await expect(commitUpload(staging, 'other', id, store)).rejects.toEqual(code('UPLOAD_NOT_FOUND'))
    makeOlder(recordPath(staging, id), staging.limits.uploadRememberedMsMax + 1_000)
    await expect(commitUpload(staging, 'words', id, store)).rejects.toEqual(code('UPLOAD_NOT_FOUND'))
  })

  test('leaves an upload that can be described and removed, and refuses parts', async () => {
    using staging = openStaging()
    const id = await stage(staging)
    const before = await findUpload(staging, 'words', id)
    await commitUpload(staging, 'words', id, collector().store)
    const { upload, parts, committed } = await findUpload(staging, 'words', id)
    expect({ upload, committed }).toEqual({ upload: before.upload, committed: done })
    expect(before.parts).toMatchObject(parts)
    expect(await listUploads(staging, 'words')).toEqual([])
    await expect(findOpenUpload(staging, 'words', id)).rejects.toEqual(code('INVALID_REQUEST'))
    await removeUpload(staging, 'words', id)
    expect(readdirSync(staging.directory)).toEqual([])
  })

  test('can be retried after a refusal', async () => {
    using staging = openStaging()
    const id = await stage(staging)
    const before = filesOf(uploadPath(staging, id))
    const refusal = new GatherdError('NON_FINITE', 'a value')
    await expect(commitUpload(staging, 'words', id, () => Promise.reject(refusal))).rejects.toBe(refusal)
    expect(filesOf(uploadPath(staging, id))).toEqual(before)
    const { bodies, store } = collector()
    await commitUpload(staging, 'words', id, store)
    expect(bodies).toEqual(['hello world'])
  })

  test('of incomplete parts is refused before a part is read', async () => {
    using staging = openStaging()
    const { upload } = await createUpload(staging, specification({ bytes: 9 }))
    const { bodies, store } = collector()
    await expect(commitUpload(staging, 'words', upload.id, store)).rejects.toEqual(code('INVALID_REQUEST'))
    await receivePart(staging, upload, 2, partOf('world'))
    await expect(commitUpload(staging, 'words', upload.id, store)).rejects.toEqual(code('INVALID_REQUEST'))
    await receivePart(staging, upload, 1, partOf('hel'))
    await expect(commitUpload(staging, 'words', upload.id, store)).rejects.toEqual(code('INVALID_REQUEST'))
    expect(bodies).toEqual([])
    await receivePart(staging, upload, 1, partOf('hell'))
    await commitUpload(staging, 'words', upload.id, store)
    expect(bodies).toEqual(['hellworld'])
  })

  test('happens once for concurrent calls, and others are IDEMPOTENCY_IN_FLIGHT meanwhile', async () => {
    using staging = openStaging()
    const id = await stage(staging)
    const { bodies, store } = collector()
    const tried = await Promise.allSettled(
      Array.from({ length: 10 }, () => commitUpload(staging, 'words', id, store)),
    )
    expect(bodies).toHaveLength(1)
    for (const result of tried) {
      if (result.status === 'rejected') expect(result.reason).toEqual(code('IDEMPOTENCY_IN_FLIGHT'))
      else expect(result.value).toEqual(done)
    }
    expect(await commitUpload(staging, 'words', id, store)).toEqual(done)
    expect(bodies).toHaveLength(1)
  })

  test('takes over from a dead one when its lease has expired', async () => {
    using staging = openStaging()
    const id = await stage(staging)
    const { bodies, store } = collector()
    const lease = join(uploadPath(staging, id), 'commit-1')
    writeFileSync(lease, '')
    await expect(commitUpload(staging, 'words', id, store)).rejects.toEqual(code('IDEMPOTENCY_IN_FLIGHT'))
    makeOlder(lease, staging.limits.uploadCommitLeaseMs + 1_000)
    await commitUpload(staging, 'words', id, store)
    expect(bodies).toHaveLength(1)
  })

  test('that died between its record and the removal of parts is complete', async () => {
    using staging = openStaging()
    const id = await stage(staging)
    const { bodies, store } = collector()
    cpSync(uploadPath(staging, id), `${staging.directory}-copy`, { recursive: true })
    await commitUpload(staging, 'words', id, store)
    cpSync(`${staging.directory}-copy`, uploadPath(staging, id), { recursive: true })
    expect(await commitUpload(staging, 'words', id, store)).toEqual(done)
    expect(await listUploads(staging, 'words')).toEqual([])
    expect(bodies).toHaveLength(1)
  })

  test('that another one overtakes returns the answer of that one', async () => {
    using staging = openStaging()
    const id = await stage(staging)
    cpSync(uploadPath(staging, id), `${staging.directory}-copy`, { recursive: true })
    const { bodies, store } = collector()
    await commitUpload(staging, 'words', id, store)
    // The state before the commit is restored, and the state after it returns once the second commit has
    // found an open upload.
    renameSync(recordPath(staging, id), `${staging.directory}-record`)
    cpSync(`${staging.directory}-copy`, uploadPath(staging, id), { recursive: true })
    const limits = {
      ...staging.limits,
      get uploadCommitLeaseMs() {
        renameSync(`${staging.directory}-record`, recordPath(staging, id))
        rmSync(uploadPath(staging, id), { recursive: true })
        return 1_000
      },
    }
    expect(await commitUpload({ ...staging, limits }, 'words', id, store)).toEqual(done)
    expect(bodies).toHaveLength(1)
  })

  test('fails at the next part when the upload is deleted meanwhile', async () => {
    using staging = openStaging()
    const id = await stage(staging)
    const failure = commitUpload(staging, 'words', id, async (_upload, body) => {
      for await (const _ of body) await removeUpload(staging, 'words', id)
      return done
    })
    await expect(failure).rejects.toMatchObject({
      code: expect.stringMatching(/INVALID_REQUEST|UPLOAD_NOT_FOUND/),
    })
    await expect(findUpload(staging, 'words', id)).rejects.toEqual(code('UPLOAD_NOT_FOUND'))
  })
})
