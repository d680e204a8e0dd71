import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { readServiceUrl } from '../../src/cli/client.ts'
import { ROOT } from '../tidy/source.ts'
import { COMPILE_CACHE } from '../helpers/compile-cache.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'gatherd-cli-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const CLI = join(ROOT, 'src/cli.ts')

const start = (program: string, words: readonly string[], environment: Record<string, string> = {}) => {
  const settings = {
    GATHERD_PORT: '0',
    GATHERD_DATA_DIR: join(folder, 'data'),
    GATHERD_HTTP_THREADS: '1',
    GATHERD_COMPUTE_THREADS: '0',
    GATHERD_DRAIN_MS: '0',
  }
  const child = spawn(program, words, {
    env: { PATH: process.env.PATH, ...COMPILE_CACHE, ...settings, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let text = ''
  child.stderr.on('data', (chunk: Buffer) => (text += chunk.toString()))
  const ready = new Promise<void>((resolve, reject) => {
    child.once('exit', () => reject(new Error(`ended before it was ready: ${text}`)))
    child.stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString()
      if (text.includes('is ready')) resolve()
    })
  })
  // A test that only awaits `closed` must not fail with an unhandled rejection.
  ready.catch(() => {})
  const closed = once(child, 'close') as Promise<[number | null, string | null]>
  return { child, ready, closed, output: () => text }
}

describe('gatherd serve', () => {
  test('serves until SIGTERM', async () => {
    const { child, ready, closed } = start(process.execPath, [CLI, 'serve'])
    await ready
    child.kill('SIGTERM')
    expect(await closed).toEqual([0, null])
  })

  test('passes --recover and the environment to the service, and exits with its code', async () => {
    const wrong = start(process.execPath, [CLI, 'serve', '--recover', 'everything'])
    expect(await wrong.closed).toEqual([1, null])
    expect(wrong.output()).toMatch(/^gatherd: GATHERD_RECOVER: /)
    const unknown = start(process.execPath, [CLI, 'serve', '--port', '80'])
    expect(await unknown.closed).toEqual([2, null])
    expect(unknown.output()).toBe("gatherd serve: Unknown option '--port'; gatherd serve --help says more\n")
  })

  test('ends when the shell that npm started it with has ended', async () => {
    const { child, ready, closed } = start('sh', ['-c', `'${process.execPath}' '${CLI}' serve; true`], {
      npm_lifecycle_event: 'npx',
    })
    await ready
    child.kill('SIGTERM')
    // The child closes only when every process that holds its output has ended.
    expect(await closed).toEqual([null, 'SIGTERM'])
  })
})

test('Commands use the service at GATHERD_URL, or at the local port', () => {
  expect(readServiceUrl({ GATHERD_URL: 'http://127.0.0.1:1' })).toBe('http://127.0.0.1:1')
  for (const environment of [{}, { GATHERD_URL: '' }])
    expect(readServiceUrl(environment)).toBe('http://127.0.0.1:8080')
})
