import { existsSync, readdirSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { needs, runsLong } from '../skips.ts'
import { askOrFail, createAsk, readJson } from './asking.ts'
import { fillDisk } from './disk-full.ts'
import { mountMemory, mountReadOnly } from './disk-images.ts'
import { makeFolder } from './folders.ts'
import { launch, launchReady } from './launch.ts'
import { TIMEOUT_MS } from './sizes.ts'

const opened: (() => unknown)[] = []
afterEach(async () => {
  for (const end of opened.splice(0).reverse()) await end()
})

const isLong = runsLong('starts on full, failing and read-only disks')
const MiB = 1024 * 1024
const UPDATES = 20

/** Creates two tables and updates one of them; leaves the directory by `signal`, after `before` has run. */
const makeUsed = async (
  dataDir: string,
  signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL',
  before: () => void = () => {},
): Promise<void> => {
  const running = await launchReady({ dataDir })
  const ask = createAsk(running.url)
  for (const name of ['kept', 'other'])
    await askOrFail(ask, 'PUT', `/v1/tables/${name}`, { body: { rows: 1000, dim: 64 } })
  for (let i = 0; i < UPDATES; i++) {
    const body = { op: 'add', indices: [0], values: [Array(64).fill(1)] }
    await askOrFail(ask, 'POST', '/v1/tables/kept/rows', { body })
  }
  before()
  ask.close()
  running.child.kill(signal)
  await running.exited
}

const readRow = async (ask: ReturnType<typeof createAsk>): Promise<number[]> => {
  const answer = await askOrFail(ask, 'POST', '/v1/tables/kept/lookup', { body: { indices: [0] } })
  return readJson<{ embeddings: number[][] }>(answer).embeddings[0]
}

describe.skipIf(!isLong || !needs('mounts'))('A start on a full disk', { timeout: TIMEOUT_MS }, () => {
  test.each(['SIGKILL', 'SIGTERM'] as const)(
    'after %s serves lookups, and DELETE frees space',
    async (signal) => {
      const mounted = mountMemory(8 * MiB)
      opened.push(mounted.unmount)
      const dataDir = join(mounted.directory, 'data')
      await makeUsed(dataDir, signal, () => fillDisk(mounted.directory))
      const running = await launchReady({ dataDir })
      opened.push(running.kill)
      const ask = createAsk(running.url)
      expect(await readRow(ask)).toEqual(Array(64).fill(UPDATES))
      const readiness = await askOrFail(ask, 'GET', '/readyz')
      expect(readJson<object>(readiness)).toMatchObject({ status: 'degraded' })
      expect((await ask('DELETE', '/v1/tables/other'))?.status).toBe(204)
      const body = { op: 'add', indices: [0], values: [Array(64).fill(1)] }
      await expect.poll(async () => (await ask('POST', '/v1/tables/kept/rows', { body }))?.status).toBe(200)
      ask.close()
    },
  )
})

describe.skipIf(!isLong || !needs('mounts'))('A read-only mount', { timeout: TIMEOUT_MS }, () => {
  test('refuses a start by one line with that word', async () => {
    const folder = makeFolder()
    opened.push(folder.remove)
    await makeUsed(join(folder.path, 'data'))
    const mounted = mountReadOnly(folder.path)
    opened.push(mounted.unmount)
    for (const name of ['data', 'new']) {
      const refused = launch({ dataDir: join(mounted.directory, name) })
      opened.push(refused.kill)
      expect(await refused.exited).toBe(1)
      expect(refused.output()).toMatch(/^gatherd: [^\n]*mounted read-only \(EROFS\)[^\n]*\n$/)
    }
  })
})

describe.skipIf(!isLong || !needs('strace'))('A disk that fails reads', { timeout: TIMEOUT_MS }, () => {
  // Calls on files of the data directory alone, of any thread.
  const inject = (path: string, rule: string): string[] => [
    ...['strace', '-f', '-o', '/dev/null', '-P', path],
    ...['-e', `trace=${rule.split(':')[0]}`, '-e', `inject=${rule}`],
  ]
  const files = (dataDir: string): Record<string, string> => ({
    snapshot: join(
      dataDir,
      'snapshots',
      readdirSync(join(dataDir, 'snapshots')).find((name) => name.endsWith('.safetensors')) ?? '',
    ),
    catalog: join(dataDir, 'catalog.db'),
    log: join(dataDir, 'catalog.db-wal'),
  })

  test.each(['snapshot', 'catalog', 'log'])('once is not noticed, and always refuses: %s', async (which) => {
    const folder = makeFolder()
    opened.push(folder.remove)
    const dataDir = join(folder.path, 'data')
    await makeUsed(dataDir)
    const path = files(dataDir)[which]
    const calls = 'pread64,preadv,preadv2,read'
    const failing = launch({ dataDir, wrapper: inject(path, `${calls}:error=EIO`) })
    opened.push(failing.kill)
    expect(await failing.exited).toBe(1)
    expect(failing.output()).toMatch(/the disk reports an error [^\n]*nothing was changed/)
    expect(existsSync(path)).toBe(true)
    // strace counts the calls of each thread.
    const environment = { UV_THREADPOOL_SIZE: '1' }
    const wrapper = inject(path, `${calls}:error=EIO:when=1`)
    const running = await launchReady({ dataDir, environment, wrapper })
    opened.push(running.kill)
    const ask = createAsk(running.url)
    expect(await readRow(ask)).toEqual(Array(64).fill(UPDATES))
    ask.close()
  })
})

describe.skipIf(!isLong)('Few descriptors', { timeout: TIMEOUT_MS }, () => {
  test('are left to the store by any number of idle connections', async () => {
    const folder = makeFolder()
    opened.push(folder.remove)
    const running = await launchReady({
      dataDir: join(folder.path, 'data'),
      wrapper: ['prlimit', '--nofile=150:150'],
    })
    opened.push(running.kill)
    const ask = createAsk(running.url)
    await askOrFail(ask, 'PUT', '/v1/tables/a', { body: { values: [[1]] } })
    const sockets: Socket[] = Array.from({ length: 300 }, () =>
      connect(Number(new URL(running.url).port), '127.0.0.1').on('error', () => {}),
    )
    opened.push(() => sockets.forEach((socket) => socket.destroy()))
    await new Promise((resolve) => setTimeout(resolve, 500))
    await askOrFail(ask, 'PUT', '/v1/tables/a', { body: { values: [[1], [2]] } })
    await askOrFail(ask, 'POST', '/v1/tables/a/rows', { body: { op: 'add', indices: [0], values: [[1]] } })
    await askOrFail(ask, 'POST', '/v1/snapshots')
    expect(readJson<object>(await askOrFail(ask, 'GET', '/readyz'))).toMatchObject({ status: 'ready' })
    ask.close()
  })
})
