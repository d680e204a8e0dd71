import { spawnSync } from 'node:child_process'
import { existsSync, globSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { FORMATS } from '../src/formats/format.ts'
import * as packages from './tidy/packages.ts'
import * as rules from './tidy/rules.ts'
import { one, packageFile, readText, sources, tests } from './tidy/repository.ts'
import { ROOT } from './tidy/source.ts'

/**
 * The files over 250 lines, with their lines when they were listed. They may not grow, and new files are
 * split instead.
 */
const LONG_FILES: Record<string, number> = {}

const lines = (count: number): string => 'export {}\n'.repeat(count)

describe('A source file', () => {
  test('has at most 400 lines, and over 250 only when it is listed', () => {
    expect(rules.findLongFiles(sources, LONG_FILES)).toEqual([])
  })

  test('is refused when it is too long, not listed, has grown, or no longer needs its entry', () => {
    const find = (count: number, ratchet: Record<string, number>) =>
      rules.findLongFiles(one(lines(count), 'src/a.ts'), ratchet)
    expect(find(250, {})).toEqual([])
    expect(find(251, {})).toEqual(['src/a.ts: 251 lines, aimed at are 250: split it'])
    expect(find(300, { 'src/a.ts': 300 })).toEqual([])
    expect(find(301, { 'src/a.ts': 300 })).toEqual(['src/a.ts: grew from 300 to 301 lines'])
    expect(find(401, { 'src/a.ts': 500 })).toEqual(['src/a.ts: 401 lines, the limit is 400'])
    expect(find(250, { 'src/a.ts': 300 })).toEqual(['src/a.ts: 250 lines, take it off the list'])
    expect(find(1, { 'src/b.ts': 300 })).toEqual(['src/b.ts: gone, take it off the list'])
  })

  test('has a specific name in kebab-case', () => {
    expect(rules.findBadNames([...sources, ...tests].map((file) => file.path))).toEqual([])
    expect(
      rules.findBadNames(['src/core/errors.ts', 'src/kernels/gather-f32.as.ts', 'test/a-b.test.ts']),
    ).toEqual([])
    expect(rules.findBadNames(['src/openInference.ts', 'src/a_b.ts', 'src/core/utils.ts'])).toEqual([
      'src/openInference.ts: not kebab-case',
      'src/a_b.ts: not kebab-case',
      'src/core/utils.ts: the name says nothing',
    ])
  })

  test('is read by a compiler', () => {
    const paths = globSync('src/**/*.*', { cwd: ROOT }).map((path) => path.replaceAll('\\', '/'))
    expect(rules.findLeftovers(paths, 'src/kernels/compiled/')).toEqual([])
    expect(
      rules.findLeftovers(
        ['src/a.ts', 'src/a.ts.orig', 'src/a.wat', 'src/kernels/compiled/a.wasm'],
        'src/kernels/compiled/',
      ),
    ).toEqual(['src/a.ts.orig: neither TypeScript nor WebAssembly text'])
  })

  test('does not use the type any', () => {
    expect(rules.findAnyTypes([...sources, ...tests])).toEqual([])
    expect(
      rules.findAnyTypes(one('const any = 1 // any\nexport const cast = (value: unknown) => value as any')),
    ).toEqual(['src/http/app.ts:2: the type any'])
  })

  test('has no mark of unfinished work', () => {
    expect(rules.findUnfinished(sources)).toEqual([])
    expect(rules.findUnfinished(one(`export {}\n// ${'TO'}DO: later`))).toEqual([
      `src/http/app.ts:2: // ${'TO'}DO: later`,
    ])
  })

  test('of a room that answers requests has no mutable module state', () => {
    const rooms = ['http', 'lookup', 'update', 'attend', 'upload', 'export'].map((room) => `src/${room}`)
    expect(rules.findHiddenState(sources, rooms)).toEqual([])
    const find = (text: string, path = 'src/http/app.ts') => rules.findHiddenState(one(text, path), rooms)
    expect(
      find('const byName = new Map([[1, 2]])\nexport const f = () => { let a = new Set(); return a }'),
    ).toEqual([])
    expect(find('export {}\nlet kept = new Float32Array(0)')).toEqual([
      'src/http/app.ts:2: state of a module',
    ])
    expect(find('export let count = 0')).toHaveLength(1)
    expect(find('const bodies = new WeakMap<object, number>()')).toHaveLength(1)
    expect(find('export const watched = new Set()')).toHaveLength(1)
    expect(find('let compiled', 'src/kernels/bag.ts')).toEqual([])
  })

  test('does not switch a checker off', () => {
    expect(rules.findSuppressions(sources)).toEqual([])
    expect(rules.findSuppressions(one('// @ts-ignore\nexport {}'))).toEqual([
      'src/http/app.ts: switches a checker off',
    ])
    expect(rules.findSuppressions(one('// oxlint-disable no-shadow\nexport {}'))).toHaveLength(1)
    expect(
      rules.findSuppressions(one('// @ts-nocheck\n@inline function a(): void {}', 'src/kernels/a.as.ts')),
    ).toEqual([])
  })

  test('names no format outside src/formats', () => {
    expect(rules.findFormatNames(sources, FORMATS)).toEqual([])
    const find = (text: string, path = 'src/http/app.ts') => rules.findFormatNames(one(text, path), FORMATS)
    for (const text of [
      `if (format === 'npy') read()`,
      `if ('safetensors' !== format) read()`,
      `switch (format) {\n  case 'raw': read()\n}`,
      `type Format = 'json' | 'npy'`,
      `const endings = { safetensors: 'st' }`,
      'const formats = [`raw`]',
      `reply.type('application/x-npy')`,
      'reply.type(MEDIA_TYPES.raw)',
    ]) {
      expect(find(text), text).toHaveLength(1)
      expect(find(text, 'src/formats/format.ts'), text).toEqual([])
    }
    expect(
      find(`request.raw.end('a safetensors body')\nif (format.carries === 'named arrays') read()`),
    ).toEqual([])
    expect(find('const { raw } = request\nraw.end()')).toEqual([])
  })

  test('has a doc comment above each exported function and class', () => {
    expect(rules.findUndocumented(sources)).toEqual([])
    const find = (text: string) => rules.findUndocumented(one(text))
    expect(find('/** Adds. */\nexport const add = (a: number, b: number) => a + b')).toEqual([])
    expect(find('/** Takes `*` `/*`. */\nexport const add = (a: number, b: number) => a + b')).toEqual([])
    expect(
      find('/** Adds. */\nexport function add(a: string): string\nexport function add(a: number): number\n'),
    ).toEqual([])
    expect(
      find('export const limit = 3\nconst add = () => 1\nexport interface A { b: 1 }\nexport { add }'),
    ).toEqual([])
    expect(find('export const add = (a: number, b: number) => a + b')).toEqual([
      'src/http/app.ts:1: no doc comment',
    ])
    expect(find('/** A pool. */\nconst pool = 1\nexport class Pool {}')).toEqual([
      'src/http/app.ts:3: no doc comment',
    ])
    expect(find('/* Adds. */\nexport async function add() {}')).toEqual(['src/http/app.ts:2: no doc comment'])
    expect(find('/** A page. */\n// An aside.\nexport default function page() {}')).toEqual([
      'src/http/app.ts:3: no doc comment',
    ])
  })

  test('of AssemblyScript has functions of at most 70 lines', () => {
    expect(rules.findLongKernelFunctions(sources)).toEqual([])
    const kernel = (count: number) =>
      one(
        `@inline\nexport function gather(): void {\n${'  step()\n'.repeat(count)}}\n`,
        'src/kernels/a.as.ts',
      )
    expect(rules.findLongKernelFunctions(kernel(68))).toEqual([])
    expect(rules.findLongKernelFunctions(kernel(69))).toEqual([
      'src/kernels/a.as.ts: gather has 71 lines, the limit is 70',
    ])
  })
})

describe('The linter', () => {
  test('refuses any, cycles, long functions and long files', () => {
    const folder = mkdtempSync(join(tmpdir(), 'gatherd-lint-'))
    try {
      writeFileSync(join(folder, 'a.ts'), `import { b } from './b.ts'\nexport const a: any = b\n`)
      writeFileSync(
        join(folder, 'b.ts'),
        `import { a } from './a.ts'\nexport const b = () => {\n${'  a()\n'.repeat(70)}}\n${lines(400)}`,
      )
      const linter = join(ROOT, 'node_modules/oxlint/bin/oxlint')
      const result = spawnSync(
        process.execPath,
        [linter, '-c', join(ROOT, '.oxlintrc.json'), '--format=unix', folder],
        {
          encoding: 'utf8',
        },
      )
      expect(result.status).toBe(1)
      for (const rule of ['no-explicit-any', 'no-cycle', 'max-lines-per-function', 'max-lines)'])
        expect(result.stdout).toContain(rule)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})

describe('Dependencies', () => {
  test('have exact versions', () => {
    expect(packages.findLooseVersions(packageFile)).toEqual([])
    const find = (version: string) =>
      packages.findLooseVersions({ scripts: {}, devDependencies: { a: version } })
    expect(find('1.2.3-rc.1')).toEqual([])
    for (const version of ['^1.2.3', '~1.2.3', '1.x', '*', 'latest', '>=1.0.0'])
      expect(find(version)).toEqual([`a: ${version} is not exact`])
  })

  test('run no code when installed, are checksummed, and name no host', () => {
    expect(packages.findUnsafeLocks(JSON.parse(readText('package-lock.json')) as packages.LockFile)).toEqual(
      [],
    )
    const find = (entry: packages.LockFile['packages'][string]) =>
      packages.findUnsafeLocks({ packages: { '': {}, 'node_modules/a': entry } })
    expect(find({ integrity: 'sha512-AA==' })).toEqual([])
    expect(find({ integrity: 'sha512-AA==', hasInstallScript: true })).toEqual([
      'node_modules/a: has an install script',
    ])
    expect(find({})).toEqual(['node_modules/a: has no checksum'])
    expect(find({ integrity: 'sha512-AA==', resolved: 'https://example.org/a.tgz' })).toEqual([
      'node_modules/a: names the host it came from',
    ])
  })

  test('are locked for every platform', () => {
    expect(
      packages.findMissingOptionals(JSON.parse(readText('package-lock.json')) as packages.LockFile),
    ).toEqual([])
    const linter = { 'node_modules/lint': { optionalDependencies: { 'lint-linux': '1.0.0' } } }
    expect(packages.findMissingOptionals({ packages: { ...linter, 'node_modules/lint-linux': {} } })).toEqual(
      [],
    )
    expect(
      packages.findMissingOptionals({
        packages: { ...linter, 'node_modules/lint/node_modules/lint-linux': {} },
      }),
    ).toEqual([])
    expect(packages.findMissingOptionals({ packages: linter })).toEqual([
      'node_modules/lint: lint-linux is not locked',
    ])
  })

  test('are explained in docs/explanation/decisions.md', () => {
    expect(packages.findUnexplained(packageFile, readText('docs/explanation/decisions.md'))).toEqual([])
    const file = { scripts: {}, dependencies: { fastify: '5.0.0' } }
    expect(packages.findUnexplained(file, '| `fastify` | the server |')).toEqual([])
    expect(packages.findUnexplained(file, 'We use `fastify`.\n| `fastify-plugin` | |')).toEqual([
      'fastify: no row says why it is here',
    ])
  })
})

describe('The pages', () => {
  const pages = globSync(['*.md', 'docs/**/*.md'], { cwd: ROOT }).map(readText)

  test('name only scripts that exist', () => {
    expect(pages.flatMap((page) => packages.findUnknownScripts(packageFile, page))).toEqual([])
    expect(
      packages.findUnknownScripts({ scripts: { lint: 'x' } }, '`npm run lint`, then `npm run fly:high`'),
    ).toEqual(['npm run fly:high: no such script'])
  })

  test('name only files that exist', () => {
    expect(
      pages.flatMap((page) => packages.findMissingPaths(page, (path) => existsSync(join(ROOT, path)))),
    ).toEqual([])
    const page = 'See `src/main.ts`, `test/tidy.test.ts:3`, `src/gone/` and src/nowhere.ts.'
    const found = packages.findMissingPaths(page, (path) => path !== 'src/gone/')
    expect(found).toEqual(['src/gone/: does not exist'])
  })
})
