import { describe, expect, test } from 'vitest'
import * as imports from './imports.ts'
import { one, packageFile, sources, tests } from './repository.ts'
import { readSource, type SourceFile } from './source.ts'

describe('Imports', () => {
  test('of a framework occur only in the one place for it', () => {
    expect(imports.findStrayImports(sources, imports.SINGLE_IMPORTERS)).toEqual([])
    const find = (path: string, specifier: string) =>
      imports.findStrayImports(one(`import a from '${specifier}'`, path), imports.SINGLE_IMPORTERS)
    expect(find('src/workers/pool.ts', 'piscina')).toEqual([])
    expect(find('src/workers/dispatch.ts', 'piscina')).toEqual([
      'src/workers/dispatch.ts: may not import piscina',
    ])
    expect(find('src/http/app.ts', '@fastify/swagger')).toEqual([])
    expect(find('src/lookup/lookup.ts', 'fastify')).toHaveLength(1)
    expect(find('src/lookup/lookup.ts', '@fastify/helmet')).toHaveLength(1)
    expect(find('src/storage/store.ts', 'node:sqlite')).toEqual([])
    expect(find('src/tables/registry.ts', 'node:sqlite')).toHaveLength(1)
  })

  test('of the function that allocates table memory occur only in tables/memory.ts', () => {
    const find = (files: SourceFile[]) =>
      imports.findStrayCallers(files, 'src/kernels/memories.ts', 'createTableMemory', 'src/tables/memory.ts')
    expect(find(sources)).toEqual([])
    expect(
      find(one(`import { createTableMemory } from '../kernels/memories.ts'`, 'src/tables/memory.ts')),
    ).toEqual([])
    expect(
      find(one(`import { createArena } from '../kernels/memories.ts'`, 'src/workers/compute-worker.ts')),
    ).toEqual([])
    const expected = ['src/tables/table.ts: may not use createTableMemory, which is for src/tables/memory.ts']
    expect(
      find(
        one(`import { createTableMemory as create } from '../kernels/memories.ts'`, 'src/tables/table.ts'),
      ),
    ).toEqual(expected)
    expect(find(one(`import * as memories from '../kernels/memories.ts'`, 'src/tables/table.ts'))).toEqual(
      expected,
    )
  })

  test('of the environment occur only in config.ts and, for the commands, in cli/client.ts', () => {
    const allowed = ['src/config.ts', 'src/cli/client.ts']
    const find = (files: SourceFile[]) => imports.findEnvironmentReaders(files, allowed, 'readConfig')
    expect(find(sources)).toEqual([])
    expect(find(one('export const a = process.env', 'src/config.ts'))).toEqual([])
    expect(find(one('export const a = process.pid'))).toEqual([])
    expect(find(one('export const a = readConfig(process.env)'))).toEqual([])
    const expected = ['src/http/app.ts: reads the environment, which is for src/config.ts, src/cli/client.ts']
    expect(find(one('export const a = process.env.HOME'))).toEqual(expected)
    expect(find(one('export const a = globalThis.process.env'))).toEqual(expected)
    expect(find(one(`import { env } from 'node:process'`))).toEqual(expected)
  })

  test('have no cycle', () => {
    expect(imports.findCycles(sources)).toEqual([])
    const a = readSource('src/a.ts', `import { b } from './b.ts'`)
    const b = (text: string) => readSource('src/b.ts', text)
    expect(imports.findCycles([a, b('export {}')])).toEqual([])
    expect(imports.findCycles([a, b(`new URL('./a.ts', import.meta.url)`)])).toEqual([])
    expect(imports.findCycles([a, b(`import type { A } from './a.ts'`)])).toEqual([
      'src/a.ts -> src/b.ts -> src/a.ts',
    ])
  })

  test('reach every file from an entry', () => {
    const scripts = Object.values(packageFile.scripts).flatMap(
      (script) => script.match(/src\/[\w/-]+\.ts/g) ?? [],
    )
    // Only tests import a reference kernel, to compare it with the compiled one.
    const references = tests
      .flatMap((file) => file.references.map(({ target }) => target))
      .filter((path) => path.startsWith('src/kernels/reference/'))
    const entries = ['src/main.ts', 'src/cli.ts', ...scripts, ...references]
    expect(imports.findUnreachable(sources, entries)).toEqual([])

    const main = readSource('src/main.ts', `new Worker(new URL('./http/worker.ts', import.meta.url))`)
    const httpWorker = readSource('src/http/worker.ts', `await import('./app.ts')`)
    expect(imports.findUnreachable([main, httpWorker, ...one('')], ['src/main.ts'])).toEqual([])
    expect(imports.findUnreachable([main, ...one('')], ['src/main.ts'])).toEqual([
      'src/http/app.ts: nothing reaches it',
    ])
  })
})
