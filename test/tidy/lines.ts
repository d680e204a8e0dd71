/** The rule that lines of code, comments and pages end at 110 characters. */
import { posix } from 'node:path'
import type { Violations } from './rules.ts'
import { readSource, walkTree } from './source.ts'
import type { TextFile } from './text.ts'

const LINE_CHARACTERS_MAX = 110

/**
 * Returns the ranges of literals, which the formatter does not break: strings, templates and regular
 * expressions.
 */
const literalRanges = ({ path, text }: TextFile): [number, number][] => {
  const { tree } = readSource(path, text)
  if (tree === null)
    return [...text.matchAll(/'[^'\n]*'/g)].map(({ 0: found, index }) => [index, index + found.length])
  return [...walkTree(tree)]
    .filter(
      ({ type, raw }) => type === 'TemplateElement' || (type === 'Literal' && /^['"/]/.test(String(raw))),
    )
    .map(({ start, end }) => [start, end])
}

/** Counts the characters outside literals of each long line, by the index of the line. */
const measureCode = (file: TextFile): Map<number, number> => {
  const measured = new Map<number, number>()
  let ranges: [number, number][] | undefined
  let at = 0
  for (const [index, line] of file.text.split('\n').entries()) {
    const [start, end] = [at, at + line.length]
    at = end + 1
    if (line.length <= LINE_CHARACTERS_MAX) continue
    ranges ??= literalRanges(file)
    const inside = ranges.reduce(
      (sum, [from, to]) => sum + Math.max(0, Math.min(end, to) - Math.max(start, from)),
      0,
    )
    measured.set(index, line.length - inside)
  }
  return measured
}

const findLongCode = (file: TextFile): number[] =>
  [...measureCode(file)].filter(([, characters]) => characters > LINE_CHARACTERS_MAX).map(([index]) => index)

/**
 * Finds long lines of a page. Rows of tables, links, addresses and printed output in a fence are excepted.
 */
const findLongProse = ({ text }: TextFile): number[] => {
  let isFenced = false
  return text.split('\n').flatMap((line, index) => {
    const isFence = /^\s*(```|~~~)/.test(line)
    if (isFence) isFenced = !isFenced
    const isWhole = isFenced || isFence || /^\s*\|/.test(line) || /^\s*[-*]?\s*\S+$/.test(line)
    // A line cannot be broken within a link.
    const rest = line.replaceAll(/\]\([^)]*\)|https?:\/\/\S+/g, '')
    return line.length > LINE_CHARACTERS_MAX && !isWhole && rest.length > LINE_CHARACTERS_MAX ? [index] : []
  })
}

const findLongText = ({ text }: TextFile): number[] =>
  text
    .split('\n')
    .flatMap((line, index) =>
      line.replaceAll(/https?:\/\/\S+/g, '').length > LINE_CHARACTERS_MAX ? [index] : [],
    )

/** Finds lines of more than 110 characters. */
export const findLongLines = (files: readonly TextFile[]): Violations =>
  files.flatMap((file) => {
    const ending = posix.extname(file.path)
    const found =
      ending === '.ts' ? findLongCode(file) : ending === '.md' ? findLongProse(file) : findLongText(file)
    const lines = file.text.split('\n')
    return found.map((index) => `${file.path}:${index + 1}: ${lines[index]?.length} characters`)
  })
