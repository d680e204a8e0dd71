import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { runCommand } from './terminal.ts'

let folder: string
let server: Server
let url: string
let answer: (request: IncomingMessage, response: ServerResponse) => void

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'gatherd-cli-'))
  server = createServer((request, response) => answer(request, response))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/below`
})
afterEach(async () => {
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
  rmSync(folder, { recursive: true })
})
const run = (...words: string[]) => runCommand([...words, '--url', url])

describe('A client command', () => {
  test('prints the answer to a snapshot request, also from a service below a path', async () => {
    answer = (request, response) => {
      expect([request.method, request.url, request.headers['content-length']]).toEqual([
        'POST',
        '/below/v1/snapshots',
        '0',
      ])
      response.end('{"snapshots": []}')
    }
    expect(await run('snapshot')).toEqual({ code: 0, printed: '{"snapshots":[]}\n', reported: '' })
  })

  test('reports an error answer of a proxy in one line without control characters', async () => {
    answer = (_, response) => void response.writeHead(502, 'Bad Gateway').end('<html>\n</html>')
    expect((await run('ls')).reported).toBe('gatherd ls: the service answered 502 Bad Gateway (HTTP_502)\n')
    answer = (_, response) =>
      void response.writeHead(404).end(JSON.stringify({ code: 'X', detail: 'two\nlines\x1b[2J' }))
    expect((await run('ls')).reported).toBe('gatherd ls: two lines [2J (X)\n')
  })

  test('says that the server is not gatherd when the answer is not one of gatherd', async () => {
    answer = (_, response) => void response.end('<html></html>')
    expect(await run('ls')).toEqual({
      code: 1,
      printed: '',
      reported: 'gatherd ls: the service answered something else than JSON (HTTP_200)\n',
    })
  })

  test('leaves no file behind when a download is cut short', async () => {
    writeFileSync(join(folder, 'user.npy'), 'old')
    answer = (_, response) => {
      response.writeHead(200, { 'content-length': '1000' }).write('half of it')
      setTimeout(() => response.destroy(), 20)
    }
    const { code, reported } = await run('get', 'user', join(folder, 'user.npy'))
    expect([code, reported]).toEqual([1, expect.stringMatching(/^gatherd get: [^\n]+\n$/)])
    expect(readFileSync(join(folder, 'user.npy'), 'utf8')).toBe('old')
    expect(readdirSync(folder)).toEqual(['user.npy'])
  })

  test('stops sending a body that is refused before all of it has arrived', async () => {
    let receivedBytes = 0
    answer = (request, response) => {
      request.once('data', () =>
        response.writeHead(413).end('{"code":"BODY_TOO_LARGE","detail":"too large"}'),
      )
      request.on('data', (chunk: Buffer) => (receivedBytes += chunk.length))
    }
    writeFileSync(join(folder, 'large.bin'), Buffer.alloc(15_000_000))
    const { code, reported } = await run(
      'put',
      'user',
      join(folder, 'large.bin'),
      '--rows',
      '1',
      '--dim',
      '3750000',
    )
    expect([code, reported]).toEqual([1, 'gatherd put: too large (BODY_TOO_LARGE)\n'])
    expect(receivedBytes).toBeLessThan(15_000_000)
    expect(existsSync(join(folder, 'large.bin'))).toBe(true)
  })

  test('does not repeat a whole upload whose outcome is unknown', async () => {
    let calls = 0
    answer = (request) => {
      calls++
      request.socket.destroy()
    }
    writeFileSync(join(folder, 'user.bin'), Buffer.alloc(12))
    const { code, reported } = await run('put', 'user', join(folder, 'user.bin'), '--rows', '1', '--dim', '3')
    expect([code, reported]).toEqual([
      1,
      expect.stringMatching(/^gatherd put: the connection to http:\S+ failed \([^\n]+\)\n$/),
    ])
    expect(calls).toBe(1)
  })
})
