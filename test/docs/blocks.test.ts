/**
 * Every block of the README, of docs/, of the descriptions at `/docs` and of the page at `/` runs, verbatim
 * but for the origin of the service, in the order of the pages, on one service. What a block prints is
 * compared with the block of kind `json` or `text` under it.
 */
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { announceToPeople } from '../../src/announcement.ts'
import { type RunningProcess, startProcess } from '../helpers/process.ts'
import { commandOf, needs } from '../skips.ts'
import { ROOT } from '../tidy/source.ts'
import { type Block, readSections, type Section } from './markdown.ts'
import { NOT_RUN, PAGES } from './pages.ts'
import { BlockRunner, isAnswer, ORIGIN } from './runner.ts'

const RUN_MS_MAX = 180_000
const hasPython = needs('safetensors')

let service: RunningProcess
let runner: BlockRunner
beforeAll(async () => {
  service = await startProcess({ GATHERD_HTTP_THREADS: '2', GATHERD_COMPUTE_THREADS: '0' })
  runner = new BlockRunner(service.url, hasPython ? commandOf('safetensors') : undefined)
}, 240_000)
afterAll(async () => {
  runner?.close()
  await service?.dispose()
})

const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8')
const firstLine = ({ text }: Block): string => text.split('\n', 1)[0]
const isRun = ({ info }: Block): boolean => info === 'sh' || info === 'python'
const isShown = ({ info }: Block): boolean => info === 'json' || info === 'text'
/** It is compared with what the service printed, in a test of its own. */
const isBanner = ({ text }: Block): boolean => text.includes(' is ready: ')
const usesPython = ({ info, text }: Block): boolean => info === 'python' || /\bpython3\b/.test(text)

/** Runs the blocks of a section, and compares what each prints with what is shown under it. */
const runSection = async ({ blocks }: Section): Promise<void> => {
  let printed: string | undefined
  for (const block of blocks) {
    const place = `line ${block.line}`
    if (isRun(block)) {
      printed = await (block.info === 'sh'
        ? runner.runShell(block.text)
        : runner.runPython(block.text)
      ).catch((error: Error) => expect.unreachable(`${place}: ${error.message}`))
    } else if (isShown(block) && !isBanner(block)) {
      expect(printed, `${place}: nothing runs before it`).toBeDefined()
      const kind = block.info === 'json' ? 'json' : 'text'
      expect(isAnswer(printed ?? '', block.text, kind), `${place}: it prints\n${printed}`).toBe(true)
      printed = undefined
    } else printed = undefined
  }
}

const describePage = (name: string, sections: Section[]): void => {
  if (!sections.some(({ blocks }) => blocks.some(isRun))) return
  describe(name, () => {
    afterAll(() => runner.endPython())
    for (const section of sections) {
      if (!section.blocks.some(isRun)) continue
      const isSkipped = !hasPython && section.blocks.some(usesPython)
      test.skipIf(isSkipped)(section.heading || 'before its first heading', { timeout: RUN_MS_MAX }, () =>
        runSection(section),
      )
    }
  })
}

describe('The blocks', () => {
  const blocks = PAGES.flatMap((page) =>
    readSections(read(page)).flatMap((section) => section.blocks.map((block) => ({ page, block }))),
  )

  test('are those of every page', () => {
    const pages = globSync(['*.md', 'docs/**/*.md', 'examples/**/*.md'], { cwd: ROOT })
    expect(PAGES.toSorted()).toEqual(pages.map((path) => path.replaceAll('\\', '/')).toSorted())
  })

  test('that do not run are listed with a reason, and marked', () => {
    const left = blocks.filter(({ block }) => !isRun(block) && !isShown(block))
    expect(left.map(({ page, block }) => `${page}: ${block.info}: ${firstLine(block)}`)).toEqual(
      NOT_RUN.map(({ page, info, begins }) => `${page}: ${info}: ${begins}`),
    )
    for (const { reason } of NOT_RUN) expect(reason).toMatch(/\w+ \w+/)
  })

  test('name the service by the address that a start prints', () => {
    for (const { page, block } of blocks)
      for (const [url] of block.text.matchAll(/http:\/\/(?:127|localhost)[^/\s'"\]]*/g))
        expect(url, `${page}, line ${block.line}`).toBe(ORIGIN)
  })

  test('that show an answer would be found out by another one', () => {
    const shown = '{"a":[1, 2]}\n{"b":...}'
    expect(isAnswer('{"a":[1,2]}{"b":3}\n', shown, 'json')).toBe(true)
    for (const other of ['{"a":[1,2]}{"c":3}', '{"a":[1,3]}{"b":3}', '{"a":[1,2]}', '{"a":[1,2]}{"b":3}x'])
      expect(isAnswer(other, shown, 'json'), other).toBe(false)
    expect(isAnswer('6  7\n2 3\n', '6 7\n2 3', 'text')).toBe(true)
    expect(isAnswer('67\n2 3\n', '6 7\n2 3', 'text')).toBe(false)
  })

  test('that fail are found out', async () => {
    await expect(runner.runShell(`false | cat; echo ${ORIGIN}`)).rejects.toThrow('exit code 1')
    expect(await runner.runShell(`echo ${ORIGIN}`)).toBe(`${service.url}\n`)
    if (!hasPython) return
    await expect(runner.runPython('made = 1\nassert made == 2')).rejects.toThrow('AssertionError')
    expect(await runner.runPython('print(made)')).toBe('1\n')
    runner.endPython()
  })
})

for (const page of PAGES) describePage(page, readSections(read(page)))

describe('The README', () => {
  const blocks = readSections(read('README.md')).flatMap((section) => section.blocks)

  test('has at most 150 lines', () => {
    expect(read('README.md').trimEnd().split('\n').length).toBeLessThanOrEqual(150)
  })

  test('shows what a start prints', () => {
    const printed = announceToPeople(ORIGIN)
    expect(isAnswer(printed, blocks.find(isBanner)?.text ?? '', 'text'), printed).toBe(true)
  })

  test('begins with the requests that a start prints', () => {
    const listRequests = (text: string) =>
      [...text.replaceAll('\\\n', '').matchAll(/curl .*?http:\/\/[^/]+(\/\S+) .*?-d '([^']+)'/g)].map(
        ([, path, body]) => `${path} ${body}`,
      )
    const printed = listRequests(announceToPeople(ORIGIN))
    expect(printed).toHaveLength(2)
    expect(listRequests(blocks.filter(isRun)[0].text)).toEqual(printed)
  })
})

describe('The page /docs', () => {
  const { paths } = JSON.parse(read('openapi/openapi.json')) as {
    paths: Record<string, Record<string, { description?: string }>>
  }
  const descriptions = new Map(
    Object.entries(paths).flatMap(([path, operations]) =>
      Object.entries(operations).map(([method, { description = '' }]) => [description, `${method} ${path}`]),
    ),
  )
  for (const [description, name] of descriptions) {
    const blocks = readSections(description).flatMap((section) => section.blocks)
    if (blocks.length > 0) describePage(name, [{ heading: 'its examples', blocks }])
  }

  test('names the origin that it is read at', async () => {
    const text = await (await fetch(`${service.url}/openapi.json`)).text()
    expect(text).toContain(`curl -fsS -X PUT ${service.url}/v1/tables/words`)
    expect(text).not.toContain(ORIGIN)
    expect(await (await fetch(`${service.url}/docs/json`)).text()).toContain(`${service.url}/v1/tables/words`)
  })
})

test('The page / shows commands that work', { timeout: RUN_MS_MAX }, async () => {
  const page = await (await fetch(service.url, { headers: { accept: 'text/html' } })).text()
  const commands = /<pre>(.*?)<\/pre>/s.exec(page)?.[1] ?? ''
  expect(commands).toContain(`${service.url}/v1/tables/words`)
  const text = commands.replaceAll('&#39;', "'").replaceAll('&quot;', '"').replaceAll('&amp;', '&')
  expect(await runner.runShell(text)).toContain('"embeddings":[[0.7,0.8,0.9],[0.1,0.2,0.3]]')
})
