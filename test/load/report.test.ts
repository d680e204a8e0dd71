import { describe, expect, test } from 'vitest'
import { renderReport } from '../../load/report/write-report.ts'
import { escapeHtml } from '../../load/report/format.ts'
import { groupScenarios, headingOf } from '../../load/report/names.ts'
import { makeResults, TARGET_NAMES } from './fixed-results.ts'

const VOID_ELEMENTS = new Set(['meta', '!doctype'])

/** The names of elements that are closed in the wrong order or not at all. */
function findUnbalanced(html: string): string[] {
  const wrong: string[] = []
  const open: string[] = []
  for (const [, closing, name, rest] of html
    .replace(/<style>[^]*?<\/style>/, '')
    .matchAll(/<(\/?)([!a-z][a-z0-9]*)([^<>]*)>/g)) {
    if (VOID_ELEMENTS.has(name)) continue
    if (closing === '') open.push(name)
    else if (open.pop() !== name) wrong.push(name)
    if (!/^(\s[\w:-]+="[^"]*")*\s*$/.test(rest)) wrong.push(`${name}${rest}`)
  }
  return [...wrong, ...open]
}

describe('the report of a fixed result', () => {
  const results = makeResults()
  const html = renderReport(results)

  test('contains every scenario by its id, in the panel of its group', () => {
    for (const { id } of results.scenarios) expect(html).toContain(`>${id}</th>`)
    for (const { title, scenarios } of groupScenarios(results.scenarios)) {
      expect(html).toContain(escapeHtml(title))
      for (const scenario of scenarios) expect(html).toContain(`>${escapeHtml(headingOf(scenario))}</text>`)
    }
  })

  test('contains every server and every plot', () => {
    for (const name of TARGET_NAMES) expect(html).toContain(`<strong>${name}</strong>`)
    for (const title of [
      'Throughput',
      'Server CPU per request',
      'Server CPU per row',
      'Latency at a fixed rate',
      'Latency under full load',
      'Upload',
      'All numbers',
      'Method',
    ]) {
      expect(html).toContain(`<h2>${title}</h2>`)
    }
  })

  test('states the machine and the method', () => {
    for (const fact of [
      '2 cores',
      'Linux 6.1',
      'Node 26.10.0',
      'gatherd 0.1.0',
      '0123456789+',
      '2026-11-22 18:54 UTC',
      's = 1.05',
      'ids 20261',
      'The client has a &lt;core&gt; of its own. Both share the machine of 2 cores',
      'Python 3.11.7, numpy 2.4.6, Redis 7.0.15',
    ]) {
      expect(html).toContain(fact)
    }
  })

  test('is well-formed', () => {
    expect(findUnbalanced(html)).toEqual([])
    expect(findUnbalanced('<p><b>x</p></b>')).not.toEqual([])
  })

  test('loads nothing and has no scripts', () => {
    expect(html).not.toMatch(/https?:\/\//)
    expect(html).not.toMatch(/<(script|link|img|iframe|object)\b|\b(src|href)=|url\(|@import|xlink/)
  })

  test('contains no NaN, undefined or infinity', () => {
    expect(html).not.toMatch(/NaN|Infinity|undefined|\[object/)
  })

  test('escapes text from outside', () => {
    expect(html).toContain('A &lt;fast&gt; &amp; &quot;quoted&quot; CPU')
    expect(html).toContain('other: not &lt;installed&gt;')
  })

  test('marks a throughput that the client has limited', () => {
    expect(html).toContain('“≥”: the client was at its limit')
    expect(html).toMatch(/≥ [\d.,]+/)
  })
})

describe('the report of an incomplete run', () => {
  test('omits the plots of CPU when it was not measured', () => {
    const results = makeResults()
    for (const { measured } of results.scenarios) {
      for (const { median } of Object.values(measured)) {
        delete median.serverCpuPerRequestUs
        delete median.serverCpuPerRowNs
        delete median.serverCores
      }
    }
    const html = renderReport(results)
    expect(html).not.toContain('<h2>Server CPU per request</h2>')
    expect(html).not.toContain('<h2>Server CPU per row</h2>')
    expect(html).not.toMatch(/NaN|Infinity|undefined/)
    expect(findUnbalanced(html)).toEqual([])
  })

  test.each([0, 9, 15, -1])('is well-formed for a single scenario (number %i)', (index) => {
    const results = makeResults()
    results.scenarios = results.scenarios.slice(index).slice(0, 1)
    results.openLoop = []
    results.targets = [results.targets[0]]
    const html = renderReport(results)
    expect(html).toContain(results.scenarios[0].id)
    expect(html).not.toMatch(/NaN|Infinity|undefined/)
    expect(findUnbalanced(html)).toEqual([])
  })
})
