import { describe, expect, test } from 'vitest'
import { findMisplacedTests } from './mirror.ts'
import { sources, tests } from './repository.ts'

const pathsOf = (files: readonly { path: string }[]): string[] => files.map(({ path }) => path)

const find = (paths: readonly string[]) =>
  findMisplacedTests(
    ['test/golden/golden.test.ts', 'test/skips.test.ts', ...paths],
    ['src/main.ts', 'src/writer/updates/apply.ts', 'src/writer/writer.ts'],
    { subjects: ['golden'], roots: ['skips'] },
  )

describe('Tests', () => {
  test('mirror src', () => {
    expect(findMisplacedTests(pathsOf(tests), pathsOf(sources))).toEqual([])
  })

  test('that lie in a folder of src, or at the root beside their file, are in place', () => {
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

  test('are misplaced where src has no such room, no such folder of it, or no such file', () => {
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

  test('have no exception that nothing needs', () => {
    expect(findMisplacedTests([], ['src/main.ts'], { subjects: ['golden'], roots: ['skips'] })).toEqual([
      'golden: test has nothing of that name',
      'skips: test has nothing of that name',
    ])
  })
})
