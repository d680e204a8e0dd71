import { type ChildProcess, spawn } from 'node:child_process'
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { ROOT } from '../tidy/source.ts'

/** A package with the launcher, whose entry prints which Node started it and with which arguments. */
let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'gatherd-launcher-'))
  mkdirSync(join(root, 'bin'))
  copyFileSync(join(ROOT, 'bin/gatherd.mjs'), join(root, 'bin/gatherd.mjs'))
  writeEntry('dist', 'cli.js')
})
afterEach(() => rmSync(root, { recursive: true }))

const writeEntry = (folder: string, name: string): void => {
  mkdirSync(join(root, folder), { recursive: true })
  const onTerm = `process.on('SIGTERM', () => process.exit(7)); setInterval(() => {}, 1000)`
  const waits = `if (process.argv[2] === 'wait') { ${onTerm} }`
  const prints = `console.log('${folder}', process.env.RUNTIME ?? 'own', ...process.argv.slice(2))`
  const text = `${waits}\n${prints}; process.exitCode = 5\n`
  writeFileSync(join(root, folder, name), text)
}

const installRuntime = (changes: { os?: string } = {}): void => {
  const folder = join(root, 'node_modules/runtime')
  mkdirSync(join(folder, 'bin'), { recursive: true })
  const facts = {
    name: 'runtime',
    os: process.platform,
    cpu: process.arch,
    bin: { node: 'bin/node' },
    ...changes,
  }
  writeFileSync(join(folder, 'package.json'), JSON.stringify(facts))
  writeFileSync(join(folder, 'bin/node'), `#!/bin/sh\nRUNTIME=pinned exec '${process.execPath}' "$@"\n`)
  chmodSync(join(folder, 'bin/node'), 0o755)
}
const writePackage = (pinned: string, engine: string): void =>
  writeFileSync(
    join(root, 'package.json'),
    JSON.stringify({ engines: { node: engine }, optionalDependencies: { runtime: pinned } }),
  )

const launch = (...words: string[]) => start(process.execPath, [join(root, 'bin/gatherd.mjs'), ...words])

const start = (program: string, words: readonly string[], environment: Record<string, string> = {}) => {
  const child: ChildProcess = spawn(program, words, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env.PATH, ...environment },
  })
  let text = ''
  const began = new Promise<void>((resolve) => {
    const read = (chunk: Buffer) => {
      text += chunk.toString()
      resolve()
    }
    child.stdout?.on('data', read)
    child.stderr?.on('data', read)
  })
  const ended = new Promise<[number | string | null, string]>((resolve) => {
    child.once('close', (code, signal) => resolve([code ?? signal, text]))
  })
  return { child, began, ended }
}

describe('npx gatherd', () => {
  test('runs the pinned Node when the Node that started it is older', async () => {
    writePackage('99.0.0', '>=24')
    installRuntime()
    expect(await launch('ls', '--json').ended).toEqual([5, 'dist pinned ls --json\n'])
  })

  test('stays on the Node that started it when that is new enough for the pin or for engines', async () => {
    writePackage('20.0.0', '>=20')
    installRuntime()
    expect(await launch('ls').ended).toEqual([5, 'dist own ls\n'])
    writePackage('99.0.0', '>=20')
    installRuntime({ os: 'another' })
    expect(await launch('ls').ended).toEqual([5, 'dist own ls\n'])
  })

  test('exits with code 1 and says what to do when there is no suitable Node', async () => {
    writePackage('99.0.0', '>=99')
    const [code, text] = await launch('ls').ended
    expect(code).toBe(1)
    expect(text).toMatch(
      new RegExp(
        String.raw`^gatherd: this is Node \d+\.\d+\.\d+, gatherd needs >=99, ` +
          String.raw`and npm has no Node 99 for [^\n]+; install a newer Node\n$`,
      ),
    )
  })

  test('runs the sources of a checkout rather than a package built from it earlier', async () => {
    writePackage('20.0.0', '>=20')
    writeEntry('src', 'cli.ts')
    expect(await launch().ended).toEqual([5, 'src own\n'])
  })

  test('forwards signals, and exits as the pinned Node does', async () => {
    writePackage('99.0.0', '>=24')
    installRuntime()
    const waiting = launch('wait')
    await waiting.began
    waiting.child.kill('SIGTERM')
    expect((await waiting.ended)[0]).toBe(7)
    const hangingUp = launch('wait')
    await hangingUp.began
    hangingUp.child.kill('SIGHUP')
    expect((await hangingUp.ended)[0]).toBe('SIGHUP')
  })

  test('ends when the shell that npm started it with has ended', async () => {
    writePackage('99.0.0', '>=24')
    installRuntime()
    // The `true` behind the command keeps the shell from replacing itself by the command.
    const script = [`'${process.execPath}' '${join(root, 'bin/gatherd.mjs')}' wait; true`]
    const waiting = start('sh', ['-c', ...script], { npm_lifecycle_event: 'npx' })
    await waiting.began
    waiting.child.kill('SIGTERM')
    // The child closes only when every process that holds its output has ended.
    expect((await waiting.ended)[0]).toBe('SIGTERM')
  })
})
