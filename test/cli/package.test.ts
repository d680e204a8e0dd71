import { execFileSync, spawn } from 'node:child_process'
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { writeNpyHeader } from '../../src/formats/npy.ts'
import { listLinks } from '../docs/markdown.ts'
import { ROOT } from '../tidy/source.ts'

/**
 * The folders that the package is built in and installed into; its dependencies come from our node_modules.
 */
let folder: string
let launcher: string
let packed: string[]
/** What the build of the package printed. */
let printed: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'gatherd-package-'))
  const copy = join(folder, 'copy')
  for (const name of [
    'src',
    'bin',
    'docs',
    'openapi',
    'package.json',
    'README.md',
    'LICENSE',
    'CHANGELOG.md',
    'CONTRIBUTING.md',
    'SECURITY.md',
  ]) {
    cpSync(join(ROOT, name), join(copy, name), { recursive: true })
  }
  const { prepack } = JSON.parse(readFileSync(join(copy, 'package.json'), 'utf8')).scripts as {
    prepack: string
  }
  printed = execFileSync('sh', ['-c', `${prepack} 2>&1`], {
    cwd: copy,
    encoding: 'utf8',
    env: { ...process.env, PATH: `${dirname(process.execPath)}:${process.env.PATH}` },
  })
  const npm = (words: string[]) =>
    execFileSync('npm', words, { cwd: copy, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
  npm(['pack', '--ignore-scripts', '--pack-destination', folder])
  const modules = join(folder, 'elsewhere/node_modules')
  mkdirSync(modules, { recursive: true })
  for (const name of readdirSync(join(ROOT, 'node_modules'))) {
    if (!name.startsWith('.') && name !== 'gatherd')
      symlinkSync(join(ROOT, 'node_modules', name), join(modules, name))
  }
  const tarball = readdirSync(folder).find((name) => name.endsWith('.tgz')) ?? ''
  execFileSync('tar', ['-xzf', join(folder, tarball), '-C', modules])
  cpSync(join(modules, 'package'), join(modules, 'gatherd'), { recursive: true })
  packed = readdirSync(join(modules, 'gatherd'), { recursive: true, encoding: 'utf8' })
  const { bin } = JSON.parse(readFileSync(join(modules, 'gatherd/package.json'), 'utf8')) as {
    bin: { gatherd: string }
  }
  launcher = join(modules, 'gatherd', bin.gatherd)
}, 240_000)
afterAll(() => rmSync(folder, { recursive: true }))

const run = (url: string, ...words: string[]): string =>
  execFileSync(process.execPath, [launcher, ...words], {
    encoding: 'utf8',
    env: { PATH: process.env.PATH, GATHERD_URL: url },
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
  })

describe('The npm package', () => {
  test('contains JavaScript, kernels and the OpenAPI document, and no sources', () => {
    expect(packed.filter((path) => /\.ts$|\.wat$|^src|^test/.test(path))).toEqual([])
    for (const path of [
      'dist/cli.js',
      'dist/http/worker.js',
      'dist/workers/compute-worker.js',
      'dist/kernels/compiled/table.wasm',
      'openapi/openapi.json',
      'docs/load.svg',
      'docs/how-to/deploy.md',
    ])
      expect(packed).toContain(path)
    const modules = readdirSync(join(ROOT, 'src/kernels/compiled'))
    expect(packed.filter((path) => path.endsWith('.wasm'))).toHaveLength(
      modules.filter((name) => name.endsWith('.wasm')).length,
    )
  })

  test('contains every page and picture that its pages link to', () => {
    const pages = packed.filter((path) => path.endsWith('.md'))
    expect(pages).toContain('README.md')
    const broken = pages.flatMap((page) =>
      listLinks(readFileSync(join(launcher, '../..', page), 'utf8'))
        .map((link) => link.split('#')[0])
        .filter((link) => link !== '' && !/^[a-z]+:/.test(link))
        .filter((link) => !packed.includes(join(dirname(page), link)))
        .map((link) => `${page}: ${link}`),
    )
    expect(broken).toEqual([])
  })

  test('is built without a word, from committed kernels, and runs no script where it is installed', () => {
    expect(printed).toBe('')
    const { scripts } = JSON.parse(readFileSync(join(launcher, '../../package.json'), 'utf8')) as {
      scripts: Record<string, string>
    }
    const names = ['preinstall', 'install', 'postinstall', 'prepare', 'dependencies']
    expect(names.filter((name) => name in scripts)).toEqual([])
  })

  test('has the line numbers of the sources', () => {
    const packedMain = join(launcher, '../../dist/main.js')
    expect(readFileSync(packedMain, 'utf8').split('\n')).toHaveLength(
      readFileSync(join(ROOT, 'src/main.ts'), 'utf8').split('\n').length,
    )
  })

  test('serves, uploads, lists and looks up rows, also on its compute workers', async () => {
    const environment = {
      GATHERD_PORT: '0',
      GATHERD_DATA_DIR: join(folder, 'data'),
      GATHERD_HTTP_THREADS: '1',
      GATHERD_DRAIN_MS: '0',
    }
    const child = spawn(process.execPath, [launcher, 'serve'], {
      env: { PATH: process.env.PATH, GATHERD_URL: 'http://127.0.0.1:1', ...environment },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const exited = new Promise<number | null>((resolve) => child.once('exit', resolve))
    try {
      const url = await new Promise<string>((resolve, reject) => {
        let text = ''
        child.stdout.on('data', (chunk: Buffer) => {
          text += chunk.toString()
          const ready = /is ready: (http:\/\/\S+)/.exec(text)
          if (ready !== null) resolve(ready[1] ?? '')
        })
        child.once('exit', (code) => reject(new Error(`ended with ${code}: ${text}`)))
      })
      const rows = 3_000
      const dim = 128
      const values = Float32Array.from({ length: rows * dim }, (_, i) => i)
      writeFileSync(
        join(folder, 'user.npy'),
        Buffer.concat([writeNpyHeader('float32', [rows, dim]), Buffer.from(values.buffer)]),
      )
      expect(run(url, 'put', 'user', 'user.npy')).toMatch(/^user: version 1, 3000 x 128 float32, /)
      expect(run(url, 'ls')).toMatch(/^NAME .*\nuser +1 +3000 x 128 +float32 +1\.5 MB +disk\n$/)
      expect(run(url, 'lookup', 'user', '2').slice(0, 12)).toBe('2\t256 257 25')
      const ids = new Int32Array(60_000).fill(7)
      const types = { 'content-type': 'application/octet-stream', accept: 'application/octet-stream' }
      const answer = await fetch(`${url}/v1/tables/user/lookup`, {
        method: 'POST',
        headers: types,
        body: ids,
      })
      expect(new Float32Array(await answer.arrayBuffer()).at(-1)).toBe(7 * dim + dim - 1)
      for (const page of ['/docs', '/openapi.json', '/']) expect((await fetch(url + page)).status).toBe(200)
    } finally {
      child.kill('SIGTERM')
    }
    expect(await exited).toBe(0)
  })
})
