import { describe, expect, test } from 'vitest'
import { findForeignImporters, findUnusedOwners, ROOM_OWNED } from './importers.ts'
import { readFolder, readSource } from './source.ts'

const sources = readFolder('src')

describe('The writer view of a table version', () => {
  test('is imported by the writer alone', () => {
    expect(findForeignImporters(sources, ROOM_OWNED)).toEqual([])
    expect(findUnusedOwners(sources, ROOM_OWNED)).toEqual([])
  })

  test('may not be imported by another room, not even as a type or a re-export', () => {
    const find = (path: string, text: string) => findForeignImporters([readSource(path, text)], ROOM_OWNED)
    const importWriter = `import { TableWriter } from '../tables/table-writer.ts'`
    for (const room of ['attend', 'export', 'http', 'lookup', 'update', 'upload', 'workers']) {
      const path = `src/${room}/a.ts`
      expect(find(path, importWriter)).toEqual([`${path}: may not import src/tables/table-writer.ts`])
    }
    expect(
      find('src/http/a.ts', `import type { TableWriter } from '../tables/table-writer.ts'`),
    ).toHaveLength(1)
    expect(find('src/tables/a.ts', `export * from './table-writer.ts'`)).toHaveLength(1)
    expect(find('src/http/a.ts', `import { TableReader } from '../tables/table-reader.ts'`)).toEqual([])
    expect(find('src/writer/a.ts', importWriter)).toEqual([])
  })

  test('has a rule that names existing files with importers', () => {
    const owned = [{ target: 'src/tables/gone.ts', allowed: /^src\/writer\// }]
    expect(findUnusedOwners(sources, owned)).toEqual(['src/tables/gone.ts: nobody imports it'])
  })
})
