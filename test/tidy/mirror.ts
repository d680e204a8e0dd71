/** The rule that the folders of test mirror those of src. */
import { posix } from 'node:path'
import type { Violations } from './rules.ts'

/** The folders of test that do not belong to a room of src. */
export const OTHER_SUBJECTS: readonly string[] = [
  // These mirror the folders of the same names at the root of the repository.
  'docs',
  'examples',
  'load',
  // The tests in these run whole services, or read the repository.
  'golden',
  'reliability',
  'tidy',
  // This one holds helpers that tests share.
  'helpers',
]

/** The tests at the root of test that have no file of src with their name. */
export const OTHER_TESTS: readonly string[] = ['dockerfile', 'skips', 'tidy']

const isTest = (path: string): boolean => path.endsWith('.test.ts')

/**
 * Finds misplaced tests: `test/<room>/**` mirrors `src/<room>/**`, and a test at the root is about the file
 * of that name. An exception that no file needs is a violation, too.
 */
export const findMisplacedTests = (
  tests: readonly string[],
  sources: readonly string[],
  { subjects = OTHER_SUBJECTS, roots = OTHER_TESTS } = {},
): Violations => {
  const folders = new Set(sources.map((path) => posix.dirname(path).replace(/^src/, 'test')))
  const files = new Set(sources.map((path) => path.replace(/^src\/(.*)\.ts$/, 'test/$1.test.ts')))
  const roomOf = (path: string): string => path.split('/')[1] ?? ''
  const isRoot = (path: string): boolean => posix.dirname(path) === 'test'
  const misplaced = tests
    .filter((path) => !isRoot(path) && !subjects.includes(roomOf(path)))
    // A helper needs a room of src with its name, and a test needs the same folder.
    .filter((path) => !folders.has(isTest(path) ? posix.dirname(path) : `test/${roomOf(path)}`))
    .map((path) => `${path}: src has no folder of that name`)
  const nameless = tests
    .filter((path) => isRoot(path) && isTest(path) && !files.has(path))
    .filter((path) => !roots.includes(posix.basename(path, '.test.ts')))
    .map((path) => `${path}: src has no file of that name`)
  const unneeded = [
    ...subjects.filter((name) => !tests.some((path) => roomOf(path) === name)),
    ...roots.filter((name) => !tests.includes(`test/${name}.test.ts`)),
  ].map((name) => `${name}: test has nothing of that name`)
  return [...misplaced, ...nameless, ...unneeded]
}
