import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { COMPILE_CACHE } from './helpers/compile-cache.ts'
import { type RunningProcess, spawnProcess, startProcess } from './helpers/process.ts'
import { needs } from './skips.ts'
import { ROOT } from './tidy/source.ts'

/** One process serves all tests, in their order: the last of them ends it. */
let service: RunningProcess
/** The data directory of the service that runs on a terminal. */
const dataDir = mkdtempSync(join(tmpdir(), 'gatherd-terminal-'))
const running: { dispose: () => Promise<void> }[] = []
beforeAll(async () => {
  service = await startProcess({
    GATHERD_HTTP_THREADS: '3',
    GATHERD_COMPUTE_THREADS: '2',
    GATHERD_DRAIN_MS: '600',
  })
  running.push(service)
}, 240_000)
afterEach(async () => {
  if (service.child.exitCode === null) await fetch(`${service.url}/v1/tables/user`, { method: 'DELETE' })
})
afterAll(async () => {
  for (const one of running.splice(0)) await one.dispose()
  rmSync(dataDir, { recursive: true, force: true })
})

const json = (body: unknown) => ({
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify(body),
})

/** Opens a new connection for each request, so that every HTTP worker gets some of them. */
const ask = (
  url: string,
  method: string,
  body?: unknown,
): Promise<{ status: number; body: Record<string, unknown> }> =>
  new Promise((resolve, reject) => {
    const text = body === undefined ? undefined : JSON.stringify(body)
    const headers =
      text === undefined
        ? {}
        : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }
    const outgoing = request(url, { method, headers, agent: false }, (answer) => {
      const parts: Buffer[] = []
      answer.on('data', (part: Buffer) => parts.push(part))
      answer.on('end', () => {
        const received = Buffer.concat(parts).toString()
        resolve({
          status: answer.statusCode ?? 0,
          body: received === '' ? {} : (JSON.parse(received) as Record<string, unknown>),
        })
      })
    })
    outgoing.once('error', reject)
    outgoing.end(text)
  })

describe('The process', () => {
  test('prints one line of JSON that holds its address, where no terminal reads it', () => {
    const { url, output } = service
    const lines = output().split('\n')
    expect(lines).toEqual([expect.any(String), ''])
    expect(JSON.parse(lines[0])).toMatchObject({
      level: 30,
      name: 'main',
      msg: expect.stringMatching(/^gatherd \d+\.\d+\.\d+ is ready: http:\/\/127\.0\.0\.1:\d+ /),
      url,
      memoryQuotaBytes: expect.any(Number),
    })
  })

  test.skipIf(!needs('terminal'))('prints a first lookup that works, on a terminal', async () => {
    const words = [
      '--disable-warning=ExperimentalWarning',
      'src/main.ts',
      '--port=0',
      `--data-dir=${dataDir}`,
    ]
    const command = [process.execPath, ...words].map((word) => `'${word}'`).join(' ')
    const child = spawn('script', ['-qfec', command, '/dev/null'], {
      cwd: ROOT,
      env: { PATH: process.env.PATH, ...COMPILE_CACHE, GATHERD_HTTP_THREADS: '1', GATHERD_DRAIN_MS: '0' },
    })
    const exited = once(child, 'exit')
    let text = ''
    child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString().replaceAll('\r', '')))
    try {
      await expect.poll(() => text, { timeout: 30_000 }).toContain('/docs\n')
      expect(text).toMatch(/^gatherd \d+\.\d+\.\d+ is ready: http:\/\/127\.0\.0\.1:\d+\n/)
      const commands = text.split('\n').filter((line) => line.startsWith('  curl '))
      const answers = commands.map((line) => execFileSync('sh', ['-c', `${line} -sS`], { encoding: 'utf8' }))
      expect(answers.map((answer) => JSON.parse(answer))).toMatchObject([
        { rows: 3, dim: 2 },
        {
          embeddings: [
            [5, 6],
            [1, 2],
          ],
        },
      ])
    } finally {
      child.stdin.write('\u0003')
      await exited
    }
  })

  test('shows a change on all HTTP workers before it answers the request that made it', async () => {
    const { url } = service
    const table = `${url}/v1/tables/user`
    for (let version = 1; version <= 5; version++) {
      expect((await ask(table, 'PUT', { values: [[version]] })).status).toBe(version === 1 ? 201 : 200)
      const answers = await Promise.all(
        Array.from({ length: 12 }, () => ask(`${table}/lookup`, 'POST', { indices: [0] })),
      )
      for (const { body } of answers) expect(body).toMatchObject({ version, embeddings: [[version]] })
    }
    await ask(`${table}/rows`, 'POST', { op: 'set', indices: [0], values: [[42]] })
    const after = await Promise.all(
      Array.from({ length: 12 }, () => ask(`${table}/lookup`, 'POST', { indices: [0] })),
    )
    for (const { body } of after) expect(body).toMatchObject({ sequence: 1, embeddings: [[42]] })
    expect((await ask(table, 'DELETE')).status).toBe(204)
    const gone = await Promise.all(Array.from({ length: 12 }, () => ask(table, 'GET')))
    for (const { status } of gone) expect(status).toBe(404)
  })

  test('hands a large lookup to the compute workers, which answer the same rows', async () => {
    const { url } = service
    const rows = 3_000
    const dim = 128
    const table = Float32Array.from({ length: rows * dim }, (_, i) => i)
    const put = await fetch(`${url}/v1/tables/user?rows=${rows}&dim=${dim}`, {
      method: 'PUT',
      headers: { 'content-type': 'application/octet-stream' },
      body: table,
    })
    expect(put.status).toBe(201)
    const ids = Int32Array.from({ length: 60_000 }, (_, i) => (i * 7919) % rows)
    const types = { 'content-type': 'application/octet-stream', accept: 'application/octet-stream' }
    const answer = await fetch(`${url}/v1/tables/user/lookup`, { method: 'POST', headers: types, body: ids })
    const got = new Float32Array(await answer.arrayBuffer())
    expect(got.length).toBe(ids.length * dim)
    expect(
      ids.every((row, i) => got[i * dim] === row * dim && got[i * dim + dim - 1] === row * dim + dim - 1),
    ).toBe(true)
  })
})

describe('A start that fails', () => {
  test('exits with code 1 and a line for each mistake in the configuration', async () => {
    const { exited, output, dispose } = spawnProcess({ GATHERD_PORT: 'abc', GATHERD_PROT: '1' })
    running.push({ dispose })
    expect(await exited).toBe(1)
    expect(output()).toBe(
      'gatherd: GATHERD_PROT: there is no such setting; did you mean GATHERD_PORT?\n' +
        'gatherd: GATHERD_PORT is a whole number from 0 to 65535, not "abc"\n',
    )
  })

  test('exits with code 1 and one line when the host has no address', async () => {
    const nowhere = spawnProcess({ GATHERD_HOST: 'no.such.name' })
    running.push(nowhere)
    expect(await nowhere.exited).toBe(1)
    expect(nowhere.output()).toMatch(/^gatherd: the [^\n]+"no\.such\.name"[^\n]+GATHERD_HOST[^\n]+\n$/)
  })

  test('exits with code 1 when the port is in use, and a gatherd that uses it keeps serving', async () => {
    const second = spawnProcess({
      GATHERD_PORT: new URL(service.url).port,
      GATHERD_HTTP_THREADS: '1',
      GATHERD_COMPUTE_THREADS: '0',
    })
    running.push(second)
    expect(await second.exited).toBe(1)
    expect(second.output()).toMatch(/^gatherd: port \d+ of 127\.0\.0\.1 is in use; choose another [^\n]+\n$/)
    expect((await fetch(`${service.url}/readyz`)).status).toBe(200)
  })
})

describe('SIGTERM', () => {
  test('turns readiness off, fails no request of forty clients, and leads to exit code 0', async () => {
    const { url, child, exited } = service
    await fetch(`${url}/v1/tables/user`, { method: 'PUT', ...json({ values: [[1, 2]] }) })
    const counts = { answered: 0, failed: 0 }
    let draining = false
    const client = async () => {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 })
      for (;;) {
        const outcome = await new Promise<'answered' | 'closing' | 'refused' | 'failed'>((resolve) => {
          const outgoing = request(
            `${url}/v1/tables/user/lookup`,
            { method: 'POST', agent, headers: { 'content-type': 'application/json' } },
            (answer) => {
              answer
                .resume()
                .once('end', () =>
                  resolve(
                    answer.statusCode !== 200
                      ? 'failed'
                      : answer.headers.connection === 'close'
                        ? 'closing'
                        : 'answered',
                  ),
                )
            },
          )
          outgoing.once('error', (error: NodeJS.ErrnoException) =>
            resolve(error.code === 'ECONNREFUSED' ? 'refused' : 'failed'),
          )
          outgoing.end('{"indices":[0]}')
        })
        if (outcome === 'failed') counts.failed++
        else if (outcome !== 'refused') counts.answered++
        // After `connection: close` or a refusal a load balancer would send the client elsewhere.
        if (outcome !== 'answered' || (draining && counts.failed > 0)) return agent.destroy()
      }
    }
    const clients = Array.from({ length: 40 }, client)
    await sleep(300)
    draining = true
    child.kill('SIGTERM')
    await sleep(100)
    const readiness = await fetch(`${url}/readyz`)
    expect(readiness.status).toBe(503)
    expect(await readiness.json()).toMatchObject({ code: expect.stringMatching(/SHUTTING_DOWN|NOT_READY/) })
    await Promise.all(clients)
    expect(await exited).toBe(0)
    expect(counts.failed).toBe(0)
    expect(counts.answered).toBeGreaterThan(40)
  })
})
