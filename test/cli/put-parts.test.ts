import { randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { UploadInfo } from '../../src/cli/resumable.ts'
import { writeNpyHeader } from '../../src/formats/npy.ts'
import { makeDataDir } from '../helpers/data-dir.ts'
import { type RunningProcess, startProcess } from '../helpers/process.ts'
import { runCommand } from './terminal.ts'

const ROWS = 16_384
const DIM = 16
const own = makeDataDir()
const folder = own.dataDir
let path: string
let service: RunningProcess
let environment: Record<string, string>

beforeAll(async () => {
  path = join(folder, 'user.npy')
  // A float16 is finite unless all its exponent bits are set.
  const values = randomBytes(ROWS * DIM * 2).map((byte) => byte & 0xbb)
  writeFileSync(path, Buffer.concat([writeNpyHeader('float16', [ROWS, DIM]), values]))
  environment = {
    GATHERD_DATA_DIR: join(folder, 'data'),
    GATHERD_HTTP_THREADS: '1',
    GATHERD_COMPUTE_THREADS: '0',
  }
  service = await startProcess(environment)
}, 240_000)
afterAll(async () => {
  await service?.dispose()
  own.remove()
})

const put = (...options: string[]) => runCommand(['put', 'user', path, '--url', service.url, ...options])
const listUploads = async (): Promise<(UploadInfo & { received_bytes: number })[]> => {
  const answer = await fetch(`${service.url}/v1/tables/user/uploads`)
  return ((await answer.json()) as { uploads: (UploadInfo & { received_bytes: number })[] }).uploads
}
const expectStored = async (): Promise<void> => {
  expect((await runCommand(['get', 'user', join(folder, 'got.npy'), '--url', service.url])).code).toBe(0)
  expect(readFileSync(join(folder, 'got.npy')).equals(readFileSync(path))).toBe(true)
}

test('A file sent in parts becomes the same table, with its settings, and no upload stays open', async () => {
  const settings = [
    '--set',
    'optimizer=adagrad',
    '--set',
    'padding_index=3',
    '--set',
    'durability=os',
    '--dtype',
    'float16',
  ]
  const { code, printed } = await put('--part-bytes', '50000', ...settings, '--json')
  expect(code).toBe(0)
  expect(JSON.parse(printed)).toMatchObject({
    rows: ROWS,
    dim: DIM,
    dtype: 'float16',
    padding_index: 3,
    durability: 'os',
    optimizer: { kind: 'adagrad' },
  })
  await expectStored()
  expect(await listUploads()).toEqual([])
})

test('A service that is killed while parts arrive and restarted gets the remaining parts', async () => {
  const putting = put('--part-bytes', '3000', '--parallel', '1')
  await expect
    .poll(async () => (await listUploads())[0]?.received_bytes ?? 0, { timeout: 10_000, interval: 10 })
    .toBeGreaterThan(0)
  service.child.kill('SIGKILL')
  await service.exited
  service = await startProcess({ ...environment, GATHERD_PORT: new URL(service.url).port })
  expect((await listUploads())[0]?.received_bytes).toBeGreaterThan(0)
  const { code, reported } = await putting
  expect([code, reported]).toEqual([0, expect.stringContaining('trying again in')])
  await expectStored()
}, 240_000)

test('An interrupted upload is resumed without sending the stored parts again', async () => {
  // The commit is refused after all parts have arrived; the parts stay on the service.
  expect(await put('--part-bytes', '50000', '--set', 'nothing=1')).toMatchObject({
    code: 1,
    reported: expect.stringMatching(/INVALID_REQUEST/),
  })
  const bytes = readFileSync(path)
  const sha256 = Buffer.from(await crypto.subtle.digest('SHA-256', bytes)).toString('base64')
  const begun = await fetch(`${service.url}/v1/tables/user/uploads`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      content_type: 'application/x-npy',
      bytes: bytes.length,
      digest: `sha-256=:${sha256}:`,
      out_of_range: 'clip',
    }),
  })
  const { upload } = (await begun.json()) as UploadInfo
  for (const part of [1, 4]) {
    const body = bytes.subarray(part * 50_000, (part + 1) * 50_000)
    expect(
      (await fetch(`${service.url}/v1/tables/user/uploads/${upload}/parts/${part}`, { method: 'PUT', body }))
        .status,
    ).toBe(200)
  }
  const { code, reported } = await put('--part-bytes', '50000', '--set', 'out_of_range=clip')
  expect([code, reported]).toEqual([0, `resuming upload ${upload}: 100 kB have arrived already\n`])
  await expectStored()
})
