import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { readServiceUrl } from '../../src/cli/client.ts'
import { SETTINGS } from '../../src/config.ts'
import { optionOf } from '../../src/settings.ts'
import { ROOT } from '../tidy/source.ts'
import { COMPILE_CACHE } from '../helpers/compile-cache.ts'
import { runCommand } from './terminal.ts'

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

  test('ends at once at Ctrl-C when there are no clients', async () => {
    const words = [CLI, 'serve', '--drain-ms', '20s']
    const { child, ready, closed } = start(process.execPath, words)
    await ready
    child.kill('SIGINT')
    // npm passes the signal on that the terminal has sent already.
    child.kill('SIGINT')
    expect(await closed).toEqual([0, null])
  })

  test('says at Ctrl-C what it waits for when there are clients, and ends at the second', async () => {
    const words = [CLI, 'serve', '--drain-ms', '20s', '--port', '0']
    const { child, ready, closed, output } = start(process.execPath, words)
    await ready
    const client = connect(Number(/is ready: http:\/\/[^:]+:(\d+)/.exec(output())?.[1]), '127.0.0.1')
    client.on('error', () => {})
    client.write('GET /livez HTTP/1.1\r\nHost: here\r\n\r\n')
    await once(client, 'data')
    child.kill('SIGINT')
    await expect.poll(output).toContain('1 connection is open and is served for up to 20 s')
    expect(output()).toContain('press Ctrl-C again to end at once')
    await expect
      .poll(() => (child.exitCode === null && child.kill('SIGINT'), child.exitCode), { timeout: 10_000 })
      .toBe(1)
    expect(await closed).toEqual([1, null])
    client.destroy()
  })

  test('is what npm start runs, in place of the shell, so that the command ends with the service', async () => {
    const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
      scripts: { start: string }
    }
    const command = scripts.start.replace(' node ', ` '${process.execPath}' `)
    const { child, ready, closed, output } = start('sh', ['-c', command])
    await ready
    child.kill('SIGTERM')
    expect(await closed).toEqual([0, null])
    const url = /is ready: (http:[^" ]+)/.exec(output())?.[1] ?? ''
    await expect(fetch(url)).rejects.toThrow('fetch failed')
  })

  test('takes every setting as an option, before the environment', async () => {
    const words = ['--port=0', '--http-threads', '1', '--memory-quota-bytes', '4MB', '--drain-ms', '0s']
    const { child, ready, closed, output } = start(process.execPath, [CLI, 'serve', ...words], {
      GATHERD_PORT: 'none',
    })
    await ready
    expect(output()).toContain('"memoryQuotaBytes":4000000')
    child.kill('SIGTERM')
    expect(await closed).toEqual([0, null])
  })

  test('names all mistakes of options and environment, and exits with code 2 when an option has one', async () => {
    const wrong = start(process.execPath, [CLI, 'serve', '--recover', 'everything', '--prot', '80'], {
      GATHERD_PORT: 'none',
    })
    expect(await wrong.closed).toEqual([2, null])
    expect(wrong.output()).toBe(
      'gatherd: there is no option --prot; did you mean --port?; gatherd serve --help lists them\n' +
        'gatherd: GATHERD_PORT is a whole number from 0 to 65535, not "none"\n' +
        'gatherd: --recover is one of never, before-damage, not "everything"\n',
    )
    const environment = start(process.execPath, [CLI, 'serve'], { GATHERD_PORT: 'none' })
    expect(await environment.closed).toEqual([1, null])
  })

  test('has a help that lists every setting', async () => {
    const { code, printed } = await runCommand(['serve', '--help'])
    expect(code).toBe(0)
    for (const name of Object.keys(SETTINGS).filter((each) => each !== 'GATHERD_FAILPOINT'))
      expect(printed).toContain(`  ${optionOf(name)} `)
    expect(printed.split('\n').filter((line) => line.length > 110)).toEqual([])
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
