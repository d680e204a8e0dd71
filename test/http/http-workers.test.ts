import { request } from 'node:http'
import type { Worker } from 'node:worker_threads'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { readConfig } from '../../src/config.ts'
import { LIMITS } from '../../src/core/limits.ts'
import { HttpWorkers } from '../../src/http/http-workers.ts'
import { Writer } from '../../src/writer/writer.ts'
import { makeDataDir } from '../helpers/data-dir.ts'
import { runsOf } from '../helpers/property-runs.ts'
import { readSlices, SHORT_SLICE_NS } from '../helpers/slices.ts'
import { runsLong } from '../skips.ts'
import { RawConnection } from './raw-answers.ts'

const descriptors = vi.hoisted(() => ({ max: Infinity }))
vi.mock(import('../../src/system/descriptors.ts'), () => ({ readDescriptorMax: () => descriptors.max }))

// An HTTP worker takes a second to start, and longer on a busy machine.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 })

const workers: Worker[] = []
const note = (worker: Worker) => workers.push(worker)
let directory: ReturnType<typeof makeDataDir>
let writer: Writer
let httpWorkers: HttpWorkers
const isLong = runsLong('five deaths of an HTTP worker, and its time slices')
const deaths: unknown[] = []
const hopeless: unknown[] = []

beforeEach(async () => {
  process.on('worker', note)
  directory = makeDataDir()
  writer = new Writer({ quotaBytes: 64 * 1024 * 1024 })
  await writer.load({ dataDir: directory.dataDir })
})
afterEach(async () => {
  await httpWorkers.close()
  await writer.close()
  process.off('worker', note)
  descriptors.max = Infinity
  for (const list of [workers, deaths, hopeless]) list.splice(0)
  directory.remove()
})

const start = (environment: Record<string, string> = {}): Promise<number> => {
  const config = readConfig({
    ...{
      GATHERD_PORT: '0',
      GATHERD_HTTP_THREADS: '2',
      GATHERD_COMPUTE_THREADS: '0',
      GATHERD_LOG_LEVEL: 'silent',
    },
    GATHERD_DATA_DIR: directory.dataDir,
    ...environment,
  })
  httpWorkers = new HttpWorkers(config, writer, {
    onDeath: (error) => deaths.push(error),
    onHopeless: (error) => hopeless.push(error),
  })
  return httpWorkers.start()
}

/** Sends a request on a new connection; the result is null when nothing answers. */
const ask = (
  port: number,
  method: string,
  path: string,
  body?: unknown,
): Promise<{ status: number; body: string } | null> =>
  new Promise((resolve) => {
    const text = body === undefined ? '' : JSON.stringify(body)
    const headers =
      text === '' ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }
    const outgoing = request({ host: '127.0.0.1', port, method, path, headers, agent: false }, (answer) => {
      const parts: Buffer[] = []
      answer.on('data', (part: Buffer) => parts.push(part))
      answer.on('end', () =>
        resolve({ status: answer.statusCode ?? 0, body: Buffer.concat(parts).toString() }),
      )
    })
    outgoing.once('error', () => resolve(null))
    outgoing.end(text)
  })

describe('HTTP workers', () => {
  test('are as many as were asked for, on one port', async () => {
    const port = await start({ GATHERD_HTTP_THREADS: '3' })
    expect([httpWorkers.size, workers.length]).toEqual([3, 3])
    expect(await ask(port, 'PUT', '/v1/tables/user', { values: [[1]] })).toMatchObject({ status: 201 })
    const answers = await Promise.all(Array.from({ length: 9 }, () => ask(port, 'GET', '/v1/tables/user')))
    expect(answers.map((one) => one?.status)).toEqual(answers.map(() => 200))
  })

  test.skipIf(!isLong || readSlices('/proc/self') === null)(
    'have short time slices, also those that replace others',
    async () => {
      const shortCount = () =>
        readSlices('/proc/self')?.filter((slice) => slice === SHORT_SLICE_NS).length ?? 0
      const others = shortCount()
      await start({ GATHERD_HTTP_THREADS: '2' })
      expect(shortCount()).toBe(others + 2)
      await workers[0].terminate()
      await expect.poll(() => [httpWorkers.size, workers.length], { timeout: 60_000 }).toEqual([2, 3])
      await expect.poll(shortCount, { timeout: 20_000 }).toBe(others + 2)
    },
  )

  test('that die are replaced on the same port with all tables, and release their memory', async () => {
    // There is only one HTTP worker, so that no other one can answer for it.
    const port = await start({ GATHERD_HTTP_THREADS: '1' })
    await ask(port, 'PUT', '/v1/tables/user', { values: [[1], [2]] })
    for (let death = 1; death <= runsOf({ quick: 1, long: 2 }); death++) {
      await workers.at(-1)?.terminate()
      await expect.poll(() => [httpWorkers.size, deaths.length], { timeout: 60_000 }).toEqual([1, death])
      const lookup = () => ask(port, 'POST', '/v1/tables/user/lookup', { indices: [1] })
      await expect
        .poll(async () => (await lookup())?.body, { timeout: 20_000 })
        .toContain('"embeddings":[[2]]')
      expect(await ask(port, 'PUT', '/v1/tables/user', { values: [[1], [2]] })).toMatchObject({ status: 200 })
    }
    expect(hopeless).toEqual([])
    expect([...writer.httpWorkers]).toHaveLength(1)
    expect(deaths[0]).toMatchObject({ message: 'an HTTP worker has ended' })
  })

  test.skipIf(!isLong)('that die five times within ten seconds are not replaced any more', async () => {
    let nowMs = 0
    const clock = vi.spyOn(performance, 'now').mockImplementation(() => nowMs)
    await start({ GATHERD_HTTP_THREADS: '1' })
    for (let death = 1; death <= 6; death++) {
      await expect.poll(() => httpWorkers.size, { timeout: 60_000 }).toBe(1)
      await workers.at(-1)?.terminate()
      await expect.poll(() => deaths.length + hopeless.length, { timeout: 20_000 }).toBe(death)
      if (death === 1) nowMs += 10_000
    }
    clock.mockRestore()
    expect([deaths.length, hopeless.length, httpWorkers.size]).toEqual([5, 1, 0])
  })

  test('are not replaced while the service shuts down', async () => {
    await start()
    httpWorkers.drain()
    await workers[0].terminate()
    await expect.poll(() => httpWorkers.size, { timeout: 20_000 }).toBe(1)
    expect([deaths, workers.length]).toEqual([[], 2])
  })

  test('that have finished their requests answer 503 until they are closed, on old and new connections', async () => {
    const port = await start({ GATHERD_HTTP_THREADS: '1' })
    const old = new RawConnection(port)
    old.socket.write('GET /readyz HTTP/1.1\r\nHost: here\r\n\r\n')
    expect((await old.answer())?.status).toBe(200)
    httpWorkers.drain()
    await httpWorkers.stop()
    old.socket.write('GET /v1/tables HTTP/1.1\r\nHost: here\r\n\r\n')
    const answer = await old.answer()
    expect([answer?.status, answer?.headers.connection]).toEqual([503, 'close'])
    old.socket.destroy()
    for (const path of ['/v1/tables', '/readyz'])
      expect(await ask(port, 'GET', path)).toEqual({
        status: 503,
        body: expect.stringContaining('SHUTTING_DOWN'),
      })
  })

  test('have no more connections than leave descriptors for files', async () => {
    // Of the four that are not kept for the service and its thread, one is for files.
    descriptors.max = LIMITS.descriptorsKept + LIMITS.descriptorsKeptPerThread + 4
    const port = await start({ GATHERD_HTTP_THREADS: '1' })
    const connections: RawConnection[] = []
    const statuses: (number | undefined)[] = []
    for (let i = 0; i < 5; i++) {
      const connection = new RawConnection(port)
      connections.push(connection)
      connection.socket.write('GET /livez HTTP/1.1\r\nHost: here\r\n\r\n')
      statuses.push((await connection.answer())?.status)
    }
    expect(statuses).toEqual([200, 200, 200, undefined, undefined])
    for (const { socket } of connections) socket.destroy()
  })

  test('that cannot listen make the start fail', async () => {
    await expect(start({ GATHERD_HOST: '203.0.113.1' })).rejects.toMatchObject({ code: 'EADDRNOTAVAIL' })
    expect([httpWorkers.size, deaths, hopeless]).toEqual([0, [], []])
  })
})
