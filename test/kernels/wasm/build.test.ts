import { spawnSync } from 'node:child_process'
import {
  appendFileSync,
  cpSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { SHARED_SOURCES } from '../../../src/kernels/wasm/shared-source.ts'
import { needs } from '../../skips.ts'

const root = join(import.meta.dirname, '../../..')
const elsewhere = mkdtempSync(join(tmpdir(), 'gatherd-build-'))
const compiled = join(elsewhere, 'src/kernels/compiled')
for (const folder of ['core', 'layout', 'kernels'])
  cpSync(join(root, 'src', folder), join(elsewhere, 'src', folder), { recursive: true })

/** Runs the build of the copy. */
const run = (...options: string[]) =>
  spawnSync(process.execPath, [join(elsewhere, 'src/kernels/wasm/build.ts'), ...options], {
    encoding: 'utf8',
  })

afterAll(() => rmSync(elsewhere, { recursive: true }))

describe('the build of the kernels', () => {
  test('fails and says what to do when the compilers are not there, and leaves built kernels alone', () => {
    const { status, stderr } = run()
    expect(status).toBe(1)
    expect(stderr).toContain('npm run build')
    const names = globSync('*.wasm', { cwd: compiled })
    expect(names).toContain('table.wasm')
    for (const name of names)
      expect(readFileSync(join(compiled, name))).toEqual(
        readFileSync(join(root, 'src/kernels/compiled', name)),
      )
  })

  test('passes no check when the compilers are not there', () => {
    const { status, stderr } = run('--check')
    expect(status).toBe(1)
    expect(stderr).toContain('not installed')
  })

  test('gives the committed bytes again, and a check of other bytes fails and changes nothing', ({
    skip,
  }) => {
    skip(!needs('compilers'))
    mkdirSync(join(elsewhere, 'compilers'))
    symlinkSync(join(root, 'compilers/node_modules'), join(elsewhere, 'compilers/node_modules'))
    const equal = run('--check', 'lora')
    expect([equal.status, equal.stderr]).toEqual([0, ''])
    expect(equal.stdout).toContain('lora.wasm')

    appendFileSync(join(compiled, 'lora.wasm'), 'x')
    const changed = readFileSync(join(compiled, 'lora.wasm'))
    const unequal = run('--check', 'lora')
    expect(unequal.status).toBe(1)
    expect(unequal.stderr).toContain('other bytes for lora')
    expect(readFileSync(join(compiled, 'lora.wasm'))).toEqual(changed)

    expect(run('lora').status).toBe(0)
    expect(readFileSync(join(compiled, 'lora.wasm'))).toEqual(
      readFileSync(join(root, 'src/kernels/compiled/lora.wasm')),
    )
    expect(run('--check', 'loro').stderr).toContain('no kernel module loro')
  }, 180_000)

  test('gives the kernels the codes of TypeScript, which no kernel writes down again', () => {
    expect(SHARED_SOURCES['codes.as.ts']).toContain(
      'export const enum Metric { Dot = 0, Cosine = 1, L2 = 2 }',
    )
    expect(SHARED_SOURCES['codes.as.ts']).toContain('export const TOUCH_ROWS: i32 = 64')
    const kernels = globSync('src/kernels/wasm/*.as.ts', { cwd: root }).map((path) =>
      readFileSync(join(root, path), 'utf8'),
    )
    for (const [name, text] of Object.entries(SHARED_SOURCES)) {
      const imports = kernels.flatMap((kernel) =>
        [...kernel.matchAll(/^import \{([^}]*)\} from '\.\/([\w-]+\.as)'/gm)]
          .filter(([, , from]) => `${from}.ts` === name)
          .flatMap(([, names]) => names.split(',').map((each) => each.trim())),
      )
      const shared = [...text.matchAll(/^export const (?:enum )?(\w+)/gm)].map(([, each]) => each)
      expect(shared.filter((each) => !imports.includes(each))).toEqual([])
      for (const each of shared)
        expect(
          kernels.some((kernel) => new RegExp(`\\bconst (enum )?${each}\\b`).test(kernel)),
          each,
        ).toBe(false)
    }
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
