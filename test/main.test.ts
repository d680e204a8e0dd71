import { Agent, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type RunningProcess, spawnProcess, startProcess } from './helpers/process.ts'

/** One process serves all tests, in their order: the last of them ends it. */
let service: RunningProcess
const running: { dispose: () => Promise<void> }[] = []
beforeAll(async () => {
  service = await startProcess({
    GATHERD_HTTP_THREADS: '3',
    GATHERD_COMPUTE_THREADS: '2',
    GATHERD_DRAIN_MS: '600',
  })
  running.push(service)
}, 60_000)
afterEach(async () => {
  if (service.child.exitCode === null) await fetch(`${service.url}/v1/tables/user`, { method: 'DELETE' })
})
afterAll(async () => {
  for (const one of running.splice(0)) await one.dispose()
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
  test('prints its address and a first lookup that works', async () => {
    const { url, output } = service
    expect(output()).toMatch(/^gatherd \d+\.\d+\.\d+ is ready: http:\/\/127\.0\.0\.1:\d+\n/)
    const [, put, lookup] = [...output().matchAll(/curl -X (\w+) (\S+) -H '[^']+' -d '([^']+)'/g)].reduce<
      (RegExpMatchArray | null)[]
    >((all, one) => [...all, one], [null])
    const created = await fetch(put?.[2] ?? '', { method: 'PUT', ...json(JSON.parse(put?.[3] ?? '')) })
    expect(created.status).toBe(201)
    const answer = await fetch(lookup?.[2] ?? '', { method: 'POST', ...json(JSON.parse(lookup?.[3] ?? '')) })
    expect(await answer.json()).toMatchObject({
      shape: [2, 2],
      embeddings: [
        [5, 6],
        [1, 2],
      ],
    })
    expect(url).toBe(new URL(put?.[2] ?? '').origin)
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
      'gatherd: GATHERD_PROT: there is no such setting\ngatherd: GATHERD_PORT: must be integer\n',
    )
  })

  test('exits with code 1 when the port is in use, and a gatherd that uses it keeps serving', async () => {
    const second = spawnProcess({
      GATHERD_PORT: new URL(service.url).port,
      GATHERD_HTTP_THREADS: '1',
      GATHERD_COMPUTE_THREADS: '0',
    })
    running.push(second)
    expect(await second.exited).toBe(1)
    expect(second.output()).toBe('gatherd: the port is in use; choose another with GATHERD_PORT\n')
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
