import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, onTestFinished, test, vi } from 'vitest'
import { startServer } from '../../load/peers/child.ts'
import { startPeers } from '../../load/peers/peers.ts'
import { listScenarios } from '../../load/scenarios.ts'
import { runSession } from '../../load/session.ts'

const outPath = mkdtempSync(join(tmpdir(), 'load-peers-'))
afterAll(() => rmSync(outPath, { recursive: true }))

const run = (program: string) =>
  startServer({
    command: process.execPath,
    args: ['-e', program],
    env: {},
    logPath: join(outPath, 'child.log'),
  })

test('A peer without its Python is skipped with a reason', async () => {
  const { targets, skipped } = await startPeers({
    python: 'no-such-python',
    pattern: /fastapi/,
    outPath,
    prefix: [],
  })
  expect(targets).toEqual([])
  expect(skipped).toContainEqual({ name: 'fastapi', reason: 'no no-such-python (--python names one)' })
  expect(skipped).toContainEqual({ name: 'null-http', reason: 'left out by --peers' })
})

test('Redis is skipped where it is not installed', async () => {
  vi.stubEnv('PATH', outPath)
  onTestFinished(() => void vi.unstubAllEnvs())
  const { targets, skipped } = await startPeers({ python: 'none', pattern: /redis/, outPath, prefix: [] })
  expect(targets).toEqual([])
  for (const name of ['redis', 'redis-fsync'])
    expect(skipped).toContainEqual({ name, reason: 'redis-server is not installed' })
})

test('The Python servers return the rows and do the step, or name a missing module', async () => {
  const { targets, skipped } = await startPeers({
    python: 'python3',
    pattern: /fastapi|asgi/,
    outPath,
    prefix: [],
  })
  onTestFinished(async () => void (await Promise.all(targets.map((target) => target.stop()))))
  const missing = skipped.filter(({ reason }) => reason !== 'left out by --peers')
  for (const { reason } of missing) expect(reason).toMatch(/^(Python has no \w+|no python3)/)
  expect([...targets, ...missing].map(({ name }) => name).sort()).toEqual(['asgi', 'fastapi'])
  if (targets.length === 0) return
  const scenarios = listScenarios(false).filter(({ id }) =>
    /(binary-d64-n8|json-d64-n8|gradients-\w+-d64-n1024)-zipf-c16$/.test(id),
  )
  const options = { quick: true, windowSeconds: 0.1, warmupSeconds: 0.02, repeatCount: 1 }
  const results = await runSession({
    targets,
    scenarios,
    rowCount: 3_000,
    options,
    apart: false,
    settleSeconds: 0.05,
    say: () => {},
  })
  for (const { measured } of results.scenarios)
    expect(Object.keys(measured)).toEqual(targets.map(({ name }) => name))
})

test('The floor server answers with the given number of bytes, and ends when stopped', async () => {
  const { targets } = await startPeers({ python: 'none', pattern: /null/, outPath, prefix: [] })
  const [floor] = targets
  onTestFinished(() => floor.stop())
  expect(floor).toMatchObject({ name: 'null-http', role: 'floor' })
  await (await fetch(`${floor.url}/?reply=1234`)).arrayBuffer()
  const answer = await fetch(`${floor.url}/v1/tables/any/lookup`, { method: 'POST', body: 'abc' })
  expect((await answer.arrayBuffer()).byteLength).toBe(1_234)
  expect(existsSync(`/proc/${floor.pid}`) || process.platform !== 'linux').toBe(true)
  await floor.stop()
  await expect(fetch(floor.url)).rejects.toThrow()
})

test('A server that ends before it is ready is an error that names its log', async () => {
  await expect(run('process.exit(3)')).rejects.toThrow(
    /ended with code 3 before it was ready: see .*child\.log/,
  )
})

test('A command that does not exist is an error', async () => {
  const missing = startServer({
    command: join(outPath, 'missing'),
    args: [],
    env: {},
    logPath: join(outPath, 'child.log'),
  })
  await expect(missing).rejects.toMatchObject({ code: 'ENOENT' })
})

test('A server with a given address is polled until it is ready', async () => {
  let asked = 0
  const isReady = async (): Promise<boolean> => ++asked === 3
  const known = { url: 'redis://127.0.0.1:1', isReady }
  const args = ['-e', 'setInterval(() => {}, 1e6)']
  const server = await startServer({
    command: process.execPath,
    args,
    env: {},
    logPath: join(outPath, 'child.log'),
    known,
  })
  onTestFinished(() => server.stop())
  expect([server.url, asked]).toEqual(['redis://127.0.0.1:1', 3])
  const ended = startServer({
    command: process.execPath,
    args: ['-e', ''],
    env: {},
    logPath: join(outPath, 'child.log'),
    known,
  })
  await expect(ended).rejects.toThrow('ended with code 0 before it was ready')
})

test('A command prefix precedes the command', async () => {
  const missing = {
    prefix: [join(outPath, 'missing')],
    command: process.execPath,
    args: [],
    env: {},
    logPath: join(outPath, 'child.log'),
  }
  await expect(startServer(missing)).rejects.toMatchObject({ code: 'ENOENT', path: join(outPath, 'missing') })
})

test('A server is used when /readyz is 200, not when it prints its address', async () => {
  const server = await run(`
    let asked = 0
    const server = require('node:http').createServer((request, response) => {
      if (request.url === '/readyz') asked += 1
      response.statusCode = request.url === '/readyz' && asked < 3 ? 503 : 200
      response.end(String(asked))
    })
    server.listen(0, '127.0.0.1', () => console.log('at http://127.0.0.1:' + server.address().port))`)
  onTestFinished(() => server.stop())
  expect(await (await fetch(server.url)).text()).toBe('3')
})
