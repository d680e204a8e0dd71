/**
 * Every relative link of the documentation leads to a file that is there, and every anchor to a heading of
 * it.
 */
import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { describe, expect, test } from 'vitest'
import { ROOT } from '../tidy/source.ts'
import { listAnchors, listLinks } from './markdown.ts'

const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8')

/** Links of a page that lead nowhere. `exists` and `readPage` take paths from the root. */
const findBrokenLinks = (
  path: string,
  readPage: (path: string) => string,
  exists: (path: string) => boolean,
): string[] =>
  listLinks(readPage(path)).flatMap((link) => {
    if (/^[a-z]+:/.test(link)) return []
    const [file, anchor] = link.split('#')
    const target = file === '' ? path : join(dirname(path), file)
    if (target.startsWith('..') || !exists(target)) return [`${path}: ${link} does not exist`]
    if (anchor === undefined || listAnchors(readPage(target)).includes(anchor)) return []
    return [`${path}: ${link} names no heading of ${target}`]
  })

describe('The links of the documentation', () => {
  const pages = globSync(['*.md', 'docs/**/*.md', 'examples/**/*.md', 'test/**/*.md'], { cwd: ROOT }).map(
    (path) => path.replaceAll('\\', '/'),
  )

  test.each(pages)('lead somewhere: %s', (path) => {
    expect(findBrokenLinks(path, read, (target) => existsSync(join(ROOT, target)))).toEqual([])
  })

  test('are all looked at', () => {
    const page =
      '# A\n\n[a](b.md), [c](#a), [d](#d) ![e](e.svg "t")\n[f](b.md#b-c)\n`[x](y)`\n```\n[x](z)\n```\n'
    const files: Record<string, string> = { 'p/a.md': page, 'p/b.md': '## B, `c`\n' }
    expect(
      findBrokenLinks(
        'p/a.md',
        (path) => files[path] ?? '',
        (path) => path in files,
      ),
    ).toEqual(['p/a.md: #d names no heading of p/a.md', 'p/a.md: e.svg does not exist'])
    expect(
      findBrokenLinks(
        'p/a.md',
        (path) => files[path] ?? '',
        (path) => path === 'p/a.md',
      ),
    ).toEqual([
      'p/a.md: b.md does not exist',
      'p/a.md: #d names no heading of p/a.md',
      'p/a.md: e.svg does not exist',
      'p/a.md: b.md#b-c does not exist',
    ])
  })

  test('reach every page of docs/ from the README', () => {
    const seen = new Set(['README.md'])
    for (const path of seen) {
      for (const link of listLinks(read(path))) {
        const target = join(dirname(path), link.split('#')[0])
        if (/^[a-z]+:/.test(link) || !target.endsWith('.md') || !existsSync(join(ROOT, target))) continue
        seen.add(relative('.', target))
      }
    }
    expect(pages.filter((path) => path.startsWith('docs/') && !seen.has(path))).toEqual([])
  })
})

/** Paths in backticks below `src/` that the section "From file to file" names and that do not exist. */
const findLostFiles = (page: string, exists: (path: string) => boolean): string[] => {
  const section = page.split(/^## /m).find((text) => text.startsWith('From file to file')) ?? ''
  return [...section.matchAll(/`([\w/-]+\.ts)`/g)].map(([, path]) => path).filter((path) => !exists(path))
}

describe('The way through the code in CONTRIBUTING', () => {
  test('names files that exist', () => {
    expect(findLostFiles(read('CONTRIBUTING.md'), (path) => existsSync(join(ROOT, 'src', path)))).toEqual([])
    const page = '## A\n`gone.ts`\n## From file to file\n`a/b.ts` -> `c.ts`\n## B\n'
    expect(findLostFiles(page, (path) => path === 'a/b.ts')).toEqual(['c.ts'])
  })
})
