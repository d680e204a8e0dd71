import { describe, expect, test } from 'vitest'
import { findLongLines } from './lines.ts'
import { readTexts } from './text.ts'

const find = (path: string, ...lines: string[]) => findLongLines([{ path, text: lines.join('\n') }])
const words = (characters: number): string =>
  'word '
    .repeat(characters)
    .slice(0, characters - 1)
    .concat('.')

describe('A line', () => {
  test('ends at 110 characters', () => {
    expect(findLongLines(readTexts())).toEqual([])
  })

  test('of code is too long with a comment or an expression', () => {
    expect(find('src/a.ts', `// ${words(107)}`, `/** ${words(103)} */`)).toEqual([])
    expect(find('src/a.ts', '', `// ${words(108)}`)).toEqual(['src/a.ts:2: 111 characters'])
    expect(find('src/a.ts', '/**', ` * ${words(108)}`, ' */')).toEqual(['src/a.ts:2: 111 characters'])
    expect(find('src/a.ts', `const a = 1 // ${words(96)}`)).toEqual(['src/a.ts:1: 111 characters'])
    expect(find('src/a.ts', `export const a = ${'b + '.repeat(25)}b`)).toEqual(['src/a.ts:1: 118 characters'])
    expect(find('src/kernels/wasm/a.as.ts', `// ${words(108)}`)).toHaveLength(1)
  })

  test('of code may hold one long literal', () => {
    expect(find('src/a.ts', `export const a = '${words(120)}'`)).toEqual([])
    expect(find('src/a.ts', `export const a = /${words(120)}/`)).toEqual([])
    expect(find('src/a.ts', 'export const a = `', words(120), '`')).toEqual([])
    expect(find('src/a.ts', `export const a = '${words(120)}' // ${words(110)}`)).toHaveLength(1)
  })

  test('of a page may be a long row of a table, a long link or printed output', () => {
    expect(find('docs/a.md', words(110))).toEqual([])
    expect(find('docs/a.md', words(111))).toEqual(['docs/a.md:1: 111 characters'])
    expect(find('docs/a.md', `- ${words(109)}`)).toEqual(['docs/a.md:1: 111 characters'])
    expect(find('docs/a.md', `| ${words(120)} |`)).toEqual([])
    expect(find('docs/a.md', `See [here](https://example.org/${'a'.repeat(100)}).`)).toEqual([])
    expect(find('docs/a.md', `See [here](https://example.org/) and ${words(111)}`)).toHaveLength(1)
    expect(find('docs/a.md', '```', words(120), '```', words(120))).toEqual(['docs/a.md:4: 120 characters'])
  })

  test('of any other text may be long only for an address', () => {
    expect(find('examples/a.py', `# ${words(108)}`, `# https://example.org/${'a'.repeat(100)}`)).toEqual([])
    expect(find('examples/a.py', `# ${words(109)}`)).toEqual(['examples/a.py:1: 111 characters'])
    expect(find('.ci/run', words(111))).toHaveLength(1)
  })
})
