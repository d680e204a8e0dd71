/**
 * Reads Markdown pages as far as the tests of the documentation need it: fenced blocks with the heading that
 * they stand under, anchors of headings, and links.
 */

/** A fenced block. `info` is the whole info string, for example `sh no-run`; `line` counts from 1. */
export interface Block {
  info: string
  text: string
  line: number
}

/** The blocks between a heading and the next one. */
export interface Section {
  heading: string
  blocks: Block[]
}

const FENCE = /^```(.*)$/
const HEADING = /^#{1,6} +(.*?) *$/

/**
 * Splits a page at its headings. Blocks before the first heading belong to a section named ''. Throws on an
 * open fence.
 */
export const readSections = (page: string): Section[] => {
  const sections: Section[] = [{ heading: '', blocks: [] }]
  let open: Block | undefined
  page.split('\n').forEach((line, index) => {
    const fence = FENCE.exec(line)
    if (open !== undefined) {
      if (line === '```') open = undefined
      else open.text += `${line}\n`
    } else if (fence !== null) {
      open = { info: fence[1], text: '', line: index + 1 }
      sections[sections.length - 1].blocks.push(open)
    } else {
      const heading = HEADING.exec(line)
      if (heading !== null) sections.push({ heading: heading[1], blocks: [] })
    }
  })
  if (open !== undefined) throw new Error(`the fence of line ${open.line} is never closed`)
  return sections
}

/** The page without its fenced blocks and code spans, in which nothing is a heading or a link. */
const withoutCode = (page: string): string =>
  page.replaceAll(/^```.*?^```$/gms, '').replaceAll(/`[^`\n]*`/g, (code) => 'x'.repeat(code.length))

/**
 * Anchors as GitHub makes them of headings: lower case, punctuation dropped, spaces as hyphens, repeats
 * numbered.
 */
export const listAnchors = (page: string): string[] => {
  const counts = new Map<string, number>()
  return page
    .replaceAll(/^```.*?^```$/gms, '')
    .split('\n')
    .flatMap((line) => {
      const heading = HEADING.exec(line)
      if (heading === null) return []
      const plain = heading[1].replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      const anchor = plain
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
        .replaceAll(' ', '-')
      const count = counts.get(anchor) ?? 0
      counts.set(anchor, count + 1)
      return [count === 0 ? anchor : `${anchor}-${count}`]
    })
}

/** Targets of links and pictures, in the order of the page. */
export const listLinks = (page: string): string[] =>
  [...withoutCode(page).matchAll(/\]\(([^)\s]+)[^)]*\)|^\[[^\]^]+\]: *(\S+)/gm)].map(
    (match) => match[1] ?? match[2],
  )
