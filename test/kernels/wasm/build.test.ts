import { spawnSync } from 'node:child_process'
import {
  cpSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'

const root = join(import.meta.dirname, '../..')
const elsewhere = mkdtempSync(join(tmpdir(), 'gatherd-build-'))
const build = join(elsewhere, 'src/kernels/compiled')
const run = (...options: string[]) =>
  spawnSync(process.execPath, [join(elsewhere, 'src/kernels/wasm/build.ts'), ...options], {
    encoding: 'utf8',
  })

afterAll(() => rmSync(elsewhere, { recursive: true }))

describe('the build of the kernels', () => {
  test('fails and says what to do without compilers and built kernels', () => {
    for (const folder of ['core', 'tables', 'kernels'])
      cpSync(join(root, 'src', folder), join(elsewhere, 'src', folder), { recursive: true })
    rmSync(build, { recursive: true, force: true })
    const { status, stderr } = run()
    expect(status).toBe(1)
    expect(stderr).toContain('npm install')
  })

  test('does not change built kernels without compilers', () => {
    mkdirSync(build)
    const names = [
      ...readFileSync(join(root, 'src/kernels/wasm/build.ts'), 'utf8').matchAll(/\{ name: '(\w+)'/g),
    ].map(([, name]) => name)
    expect(names).toContain('table')
    for (const name of names) writeFileSync(join(build, `${name}.wasm`), 'built')
    const { status, stdout } = run()
    expect(status).toBe(0)
    expect(stdout).toContain('not installed')
    for (const name of names) expect(readFileSync(join(build, `${name}.wasm`), 'utf8')).toBe('built')
  })

  test('needs compilers on install only if a kernel is missing or older than a source', () => {
    const outputs = globSync(join(build, '*.wasm'))
    const source = join(elsewhere, 'src/kernels/wasm/lanes.as.ts')
    const date = (path: string, seconds: number) => utimesSync(path, seconds, seconds)
    const soon = Date.now() / 1000 + 100
    for (const path of outputs) date(path, soon)
    expect(run('--if-older').stdout).toContain('up to date')
    date(source, soon + 100)
    expect(run('--if-older').stdout).toContain('not installed')
    date(source, soon - 200)
    expect(run('--if-older').stdout).toContain('up to date')
    rmSync(outputs[0])
    expect(run('--if-older').status).toBe(1)
  })

  test('makes table kernels that import the two memories alone', () => {
    const module = new WebAssembly.Module(readFileSync(join(root, 'src/kernels/compiled/table.wasm')))
    const imports = WebAssembly.Module.imports(module).map(
      ({ module: from, name, kind }) => `${from}.${name} ${kind}`,
    )
    expect(imports.sort()).toEqual(['env.arena memory', 'env.table memory'])
    expect(
      WebAssembly.Module.exports(module)
        .map(({ name }) => name)
        .sort(),
    ).toEqual([
      'convert',
      'finite',
      'gatherBfloat16',
      'gatherBfloat16Checked',
      'gatherFloat16',
      'gatherFloat16Checked',
      'gatherInt8',
      'gatherInt8Checked',
      'gatherRaw',
      'gatherRawChecked',
      'ingest',
      'quantise',
      'scatter',
    ])
  })
})
