import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, onTestFinished, test } from 'vitest'
import { startServer } from '../../load/child.ts'
import { startPeers } from '../../load/peers.ts'

const outPath = mkdtempSync(join(tmpdir(), 'load-peers-'))
afterAll(() => rmSync(outPath, { recursive: true }))

const run = (program: string) =>
  startServer({ command: process.execPath, args: ['-e', program], env: {}, logPath: join(outPath, 'child.log') })

test('a comparison whose Python is missing is skipped, with the reason', async () => {
  const { targets, skipped } = await startPeers({ python: 'no-such-python', pattern: /fastapi/, outPath })
  expect(targets).toEqual([])
  expect(skipped).toContainEqual({ name: 'fastapi', reason: 'no no-such-python (--python names one)' })
  expect(skipped).toContainEqual({ name: 'null-http', reason: 'left out by --peers' })
})

test('the floor answers as many bytes as it was told, and ends when stopped', async () => {
  const { targets } = await startPeers({ python: 'none', pattern: /null/, outPath })
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

test('a server that ends before it is ready is a failure that names its log', async () => {
  await expect(run('process.exit(3)')).rejects.toThrow(/ended with code 3 before it was ready: see .*child\.log/)
})

test('a command that does not exist is a failure', async () => {
  const missing = startServer({ command: join(outPath, 'missing'), args: [], env: {}, logPath: join(outPath, 'child.log') })
  await expect(missing).rejects.toMatchObject({ code: 'ENOENT' })
})

test('a server is used once /readyz is 200, not when its address is printed', async () => {
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
