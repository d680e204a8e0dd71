import { createHash, randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openService, type Service } from '../../src/cli/client.ts'
import { showProgress } from '../../src/cli/progress.ts'
import { choosePartBytes } from '../../src/cli/put.ts'
import { findMissingParts, findUpload, type ResumableUpload, sendParts } from '../../src/cli/resumable.ts'
import { digestFile, inspectFile } from '../../src/cli/source-file.ts'
import { type FakeService, type Fault, startFakeService } from './fake-uploads.ts'

const BYTES = 1_000_000
const PART_BYTES = 300_000
let folder: string
let path: string
let content: Buffer
let fake: FakeService
let service: Service
let waits: number[]
let reported: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'gatherd-cli-'))
  path = join(folder, 'rows.bin')
  content = randomBytes(BYTES)
  writeFileSync(path, content)
  waits = []
  reported = ''
})
afterEach(async () => {
  service.agent.destroy()
  await fake.close()
  rmSync(folder, { recursive: true })
})

const start = async (
  faultOf?: (call: string) => Fault | null,
  pause?: () => Promise<unknown>,
): Promise<void> => {
  fake = await startFakeService(faultOf, pause)
  service = openService(fake.url)
}
const prepare = async (partBytes = PART_BYTES): Promise<ResumableUpload> => {
  const file = await inspectFile(path)
  const { digest, parts } = await digestFile(file, partBytes, () => {})
  const wait = async (ms: number) => void waits.push(ms)
  return { table: 'user', file, digest, parts, parameters: { rows: 250_000, dim: 1 }, parallelCount: 2, wait }
}
const send = async (upload: ResumableUpload) => {
  const info = await findUpload(service, upload)
  const progress = showProgress(
    { isWatched: false, report: (text) => void (reported += text) },
    'user',
    BYTES,
  )
  return sendParts(service, upload, info.upload, findMissingParts(info, upload.parts), progress)
}
const partCalls = () => fake.calls.filter((call) => call.startsWith('PUT'))

describe('An upload in parts', () => {
  test('sends fewer parts at a time when they arrive too slowly', async () => {
    let slowCount = 3
    await start((call) => (call.startsWith('PUT') && slowCount-- > 0 ? 408 : null))
    await send({ ...(await prepare(50_000)), parallelCount: 4 })
    expect(fake.committed()?.equals(content)).toBe(true)
    expect(new Set(partCalls()).size).toBe(20)
    expect(partCalls()).toHaveLength(23)
  })

  test('sends one part at a time when no more arrive in time', async () => {
    let slowCount = 8
    let openMax = 0
    const faultOf = (call: string): Fault | null => {
      if (!call.startsWith('PUT')) return null
      if (slowCount-- > 0) return 408
      openMax = Math.max(openMax, fake.openCount())
      return null
    }
    await start(faultOf, () => sleep(10))
    await send({ ...(await prepare(50_000)), parallelCount: 4 })
    expect(fake.committed()?.equals(content)).toBe(true)
    expect(openMax).toBe(1)
  })

  test('sends every part once and commits', async () => {
    await start()
    expect(await send(await prepare())).toMatchObject({ name: 'user', version: 1 })
    expect(fake.committed()?.equals(content)).toBe(true)
    expect(partCalls().toSorted()).toEqual(['PUT parts/0', 'PUT parts/1', 'PUT parts/2', 'PUT parts/3'])
    expect(fake.calls.at(-1)).toBe('POST commit')
  })

  test('resumes an interrupted upload by sending only missing and differing parts', async () => {
    await start()
    const upload = await prepare()
    const begun = await findUpload(service, upload)
    const parts = fake.uploads.get(begun.upload)!.parts
    parts.set(0, content.subarray(0, PART_BYTES))
    parts.set(2, Buffer.alloc(PART_BYTES))
    await send(upload)
    expect(partCalls().toSorted()).toEqual(['PUT parts/1', 'PUT parts/2', 'PUT parts/3'])
    expect(fake.calls.filter((call) => call === 'POST uploads')).toHaveLength(1)
    expect(fake.committed()?.equals(content)).toBe(true)
  })

  test('starts over when the file, the parameters or the part size have changed', async () => {
    await start()
    const upload = await prepare()
    const first = await findUpload(service, upload)
    expect((await findUpload(service, upload)).upload).toBe(first.upload)
    expect((await findUpload(service, { ...upload, parameters: { rows: 1, dim: 250_000 } })).upload).not.toBe(
      first.upload,
    )
    fake.uploads.get(first.upload)!.parts.set(0, content.subarray(0, PART_BYTES))
    expect((await findUpload(service, await prepare(100_000))).upload).not.toBe(first.upload)
    expect((await findUpload(service, upload)).upload).toBe(first.upload)
    writeFileSync(path, randomBytes(BYTES))
    expect((await findUpload(service, await prepare())).upload).not.toBe(first.upload)
  })

  test('retries a part with growing delays after a broken connection, 503, 408 and 429', async () => {
    const faults: (Fault | null)[] = ['break', 503, 408, 429]
    await start((call) => (call === 'PUT parts/1' ? (faults.shift() ?? null) : null))
    await send({ ...(await prepare()), parallelCount: 1 })
    expect(fake.committed()?.equals(content)).toBe(true)
    expect(partCalls().filter((call) => call === 'PUT parts/1')).toHaveLength(5)
    expect(waits).toHaveLength(4)
    for (const [i, ms] of waits.entries())
      expect(ms / (250 * 2 ** i)).toSatisfy((ratio: number) => ratio >= 0.5 && ratio <= 1)
    expect(reported).toContain('a fault of the test (FAULT); trying again in')
  })

  test('repeats a commit whose answer was lost or that is still running', async () => {
    const faults: (Fault | null)[] = ['break', 'break']
    await start((call) => (call === 'POST commit' ? (faults.shift() ?? null) : null))
    await send(await prepare())
    expect(fake.calls.filter((call) => call === 'POST commit')).toHaveLength(3)
  })

  test('stops at the first part that is refused', async () => {
    await start((call) => (call === 'PUT parts/0' ? 507 : null))
    await expect(send({ ...(await prepare(10_000)), parallelCount: 2 })).rejects.toMatchObject({
      status: 507,
      code: 'FAULT',
    })
    expect(waits).toEqual([])
    expect(partCalls().length).toBeLessThan(50)
    expect(fake.calls).not.toContain('POST commit')
  })

  test('gives up when a part keeps failing', async () => {
    await start((call) => (call.startsWith('PUT') ? 'break' : null))
    await expect(send({ ...(await prepare()), parallelCount: 1 })).rejects.toMatchObject({ status: null })
    expect(waits).toHaveLength(11)
  })
})

test('The digests of a file and of its parts are in the form of Content-Digest', async () => {
  await start()
  const { digest, parts } = await prepare()
  const sha256 = (bytes: Buffer) => `sha-256=:${createHash('sha256').update(bytes).digest('base64')}:`
  expect(digest).toBe(sha256(content))
  expect(parts.map(({ part, at, bytes }) => [part, at, bytes])).toEqual([
    [0, 0, 300_000],
    [1, 300_000, 300_000],
    [2, 600_000, 300_000],
    [3, 900_000, 100_000],
  ])
  expect(parts[3]?.digest).toBe(sha256(content.subarray(900_000)))
})

test('A large file gets larger parts rather than too many, and too small parts are refused', async () => {
  await start()
  const MiB = 1024 * 1024
  expect(choosePartBytes(100 * MiB, undefined)).toBe(16 * MiB)
  expect(choosePartBytes(200_000 * MiB, undefined)).toBe(20 * MiB)
  expect(choosePartBytes(100 * MiB, 1 * MiB)).toBe(1 * MiB)
  expect(() => choosePartBytes(200_000 * MiB, 1 * MiB)).toThrow('--part-bytes is at least 20971520')
  expect(() => choosePartBytes(100 * MiB, 2_000 * MiB)).toThrow('--part-bytes is at most')
})
