import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'

const root = join(import.meta.dirname, '../..')
const folder = mkdtempSync(join(tmpdir(), 'gatherd-views-'))

afterAll(() => rmSync(folder, { recursive: true }))

const HEAD = `
import { gatherRows } from '${root}/src/tables/gather.ts'
import type { TableEntry } from '${root}/src/tables/registry.ts'
import type { TableReader } from '${root}/src/tables/table-reader.ts'
import { scatterStored, type TableWriter } from '${root}/src/tables/table-writer.ts'
declare const reader: TableReader
declare const writer: TableWriter
declare const entry: TableEntry
declare const arena: Parameters<typeof scatterStored>[1]
declare const memory: Parameters<typeof gatherRows>[1]
declare const job: Parameters<typeof gatherRows>[2]
declare const rows: Parameters<typeof scatterStored>[2]
export const used = [reader, writer, entry, arena, memory, job, rows, gatherRows, scatterStored]
`

/**
 * What the compiler says of these statements, one a line, as `<index>: <code>`; none when they all compile.
 */
const compile = (statements: readonly string[]): string[] => {
  const lines = HEAD.split('\n').length
  writeFileSync(join(folder, 'case.mts'), `${HEAD}\n${statements.join('\n')}\n`)
  const options = { extends: join(root, 'tsconfig.json'), compilerOptions: {}, include: [], exclude: [] }
  const compilerOptions = { typeRoots: [join(root, 'node_modules/@types')] }
  const files = [join(folder, 'case.mts'), join(root, 'src/kernels/webassembly.d.ts')]
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ ...options, compilerOptions, files }))
  const compiler = join(root, 'node_modules/typescript/bin/tsc')
  const { status, stdout } = spawnSync(process.execPath, [compiler, '-p', folder, '--pretty', 'false'], {
    encoding: 'utf8',
  })
  const errors = [...stdout.matchAll(/^(?:.*\/)?case\.mts\((\d+),\d+\): error (TS\d+)/gm)]
  expect(errors.length > 0 || stdout === '', stdout).toBe(true)
  expect(status === 0).toBe(errors.length === 0)
  return errors.map(([, line, code]) => `${Number(line) - lines - 1}: ${code}`)
}

describe('the two views of a table version', () => {
  test('let a reader read and a writer write', () => {
    expect(
      compile([
        'gatherRows(reader, memory, job)',
        'gatherRows(entry.current, memory, job)',
        'reader.kernels(memory)[0].gather("stored", "int8", 0, 0, 0, 0, 0, 0, 1)',
        'writer.write({ sequence: 1, step: 0, nowMs: 0 }, () => scatterStored(writer, arena, rows))',
        'writer.writeStep(writer.readStep())',
        'writer.kernels(memory)[0].scatter(0, 0, 0, 0, 0, 4)',
      ]),
    ).toEqual([])
  })

  test('do not compile in each other’s place', () => {
    const wrong = [
      'gatherRows(writer, memory, job)',
      'export const asReader: TableReader = writer',
      'export const asEntry: TableEntry = { ...entry, current: writer }',
      'export const asWriter: TableWriter = reader',
      'scatterStored(reader, arena, rows)',
      'reader.write({ sequence: 1, step: 0, nowMs: 0 }, () => {})',
      'reader.writeStep(1)',
      'reader.kernels(memory)[0].scatter(0, 0, 0, 0, 0, 4)',
      'reader.kernels(memory)[0].ingest("float32", "float32", 0, 0, 0)',
      'reader.kernels(memory)[0].quantise(0, 0, 1, 0)',
    ]
    expect(compile(wrong).map((error) => Number(error.split(':')[0]))).toEqual(wrong.map((_, index) => index))
  })
})
