import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import * as packages from './packages.ts'
import { ROOT } from './source.ts'

const readText = (path: string): string => readFileSync(join(ROOT, path), 'utf8')
const readJson = <T>(path: string): T => JSON.parse(readText(path)) as T
const compilers = readJson<packages.PackageFile>('compilers/package.json')
const main = readJson<packages.PackageFile>('package.json')

describe('The package of the compilers', () => {
  test('has exact versions, checksums, no install script and no host, and the docs explain it', () => {
    const lock = readJson<packages.LockFile>('compilers/package-lock.json')
    expect(Object.keys(compilers.dependencies ?? {})).toEqual(['assemblyscript', 'binaryen'])
    expect(packages.findLooseVersions(compilers)).toEqual([])
    expect(packages.findUnsafeLocks(lock)).toEqual([])
    expect(packages.findMissingOptionals(lock)).toEqual([])
    expect(packages.findUnexplained(compilers, readText('docs/explanation/decisions.md'))).toEqual([])
    expect(lock.packages).toHaveProperty(['node_modules/assemblyscript'])
  })

  test('is not installed by npm ci, which installs no compiler and runs no script of the repository', () => {
    const { packages: locked } = readJson<packages.LockFile>('package-lock.json')
    expect(Object.keys(locked).filter((path) => /\/(assemblyscript|binaryen)$/.test(path))).toEqual([])
    const lifecycle = ['preinstall', 'install', 'postinstall', 'preprepare', 'prepare', 'postprepare']
    expect(lifecycle.filter((name) => name in main.scripts)).toEqual([])
    expect(main.scripts.build).toContain('npm ci --prefix compilers')
  })

  test('is not needed for a start, because every module that the loader names is committed', () => {
    const loader = readText('src/kernels/compiled-modules.ts')
    const names = [...loader.matchAll(/^ {2}\| '([\w-]+)'/gm)].map(([, name]) => `${name}.wasm`)
    expect(names).toHaveLength(8)
    expect(globSync('*.wasm', { cwd: join(ROOT, 'src/kernels/compiled') }).toSorted()).toEqual(
      names.toSorted(),
    )
  })
})
