import { matchesGlob } from 'node:path'
import { describe, expect, test } from 'vitest'
import { findMisplacedTests } from './mirror.ts'
import { PATTERNS } from '../../vitest.config.ts'
import { sources, tests } from './repository.ts'

const pathsOf = (files: readonly { path: string }[]): string[] => files.map(({ path }) => path)

const find = (paths: readonly string[]) =>
  findMisplacedTests(
    ['test/golden/golden.test.ts', 'test/skips.test.ts', ...paths],
    ['src/main.ts', 'src/writer/updates/apply.ts', 'src/writer/writer.ts'],
    { subjects: ['golden'], roots: ['skips'] },
  )

describe('Tests', () => {
  test('have the same folders as src', () => {
    expect(findMisplacedTests(pathsOf(tests), pathsOf(sources))).toEqual([])
  })

  test('are in place in a folder that src has, or at the root with the name of a file of src', () => {
    expect(
      find([
        'test/main.test.ts',
        'test/writer/life.ts',
        'test/writer/writer.test.ts',
        'test/writer/updates/rows.test.ts',
        'test/writer/fixtures/make-rows.ts',
      ]),
    ).toEqual([])
  })

  test('are misplaced when src has no such room, no such folder in it, or no such file', () => {
    expect(
      find([
        'test/keys/keys.test.ts',
        'test/keys/rows.ts',
        'test/writer/recovery/a.test.ts',
        'test/a.test.ts',
      ]),
    ).toEqual([
      'test/keys/keys.test.ts: src has no folder of that name',
      'test/keys/rows.ts: src has no folder of that name',
      'test/writer/recovery/a.test.ts: src has no folder of that name',
      'test/a.test.ts: src has no file of that name',
    ])
  })

  test('belong to a group, outside of which no file would run', () => {
    const paths = pathsOf(tests).filter((path) => path.endsWith('.test.ts'))
    expect(paths.filter((path) => !PATTERNS.some((pattern) => matchesGlob(path, pattern)))).toEqual([])
    expect(paths).toContain('test/core/suggest-name.test.ts')
  })

  test('have no unused exception', () => {
    expect(findMisplacedTests([], ['src/main.ts'], { subjects: ['golden'], roots: ['skips'] })).toEqual([
      'golden: test has nothing of that name',
      'skips: test has nothing of that name',
    ])
  })
})
