/**
 * The report: one HTML page with its plots and style inside, which can be mailed, archived or opened from
 * disk.
 */
import type { Results, ScenarioResult } from '../results.ts'
import { escapeHtml, formatBytes, formatCount, formatShort, formatUs } from './format.ts'
import { drawCpuPerRow, drawSweep } from './curves.ts'
import { drawLatency, drawOpenLoop } from './latency.ts'
import { drawMethod } from './method.ts'
import { drawCpu, drawThroughput, drawUploads } from './panels.ts'
import { drawLegend, section } from './section.ts'
import { STYLE } from './style.ts'
import { element } from './svg.ts'
import { drawTable } from './table.ts'
import { listVersions } from './versions.ts'

/** The whole page. It refers to nothing outside itself. */
export function renderReport(results: Results): string {
  const body = [
    drawHeader(results),
    drawFigures(results),
    drawCpu(results),
    drawCpuPerRow(results),
    drawThroughput(results),
    drawOpenLoop(results),
    drawSweep(results),
    drawLatency(results),
    drawUploads(results),
    section(
      'All numbers',
      'Medians of the repeats. The JSON file beside this page has every repeat.',
      drawTable(results),
    ),
    drawMethod(results),
  ]
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>gatherd load report, ${escapeHtml(results.madeAt.slice(0, 10))}</title>
<style>${STYLE}</style>
</head>
<body>
<main>
${body.join('\n')}
</main>
</body>
</html>
`
}

function drawHeader(results: Results): string {
  const { machine, commit, madeAt, method } = results
  const facts = [
    ['Machine', `${machine.cpu}, ${machine.coreCount} cores, ${formatBytes(machine.memoryBytes)}`],
    ['System', machine.kernel],
    ['Versions', listVersions(results)],
    ['Commit', commit === '' ? 'none' : commit],
    ['Made', `${madeAt.slice(0, 16).replace('T', ' ')} UTC`],
  ]
  return element(
    'header',
    {},
    element('h1', {}, 'gatherd load report'),
    element(
      'p',
      {},
      `Lookups and updates over HTTP of tables with ${formatCount(method.rowCount)} rows, client and ` +
        `servers on one machine.${method.quick ? ' A quick run: short windows, few scenarios.' : ''}`,
    ),
    drawLegend(results),
    element(
      'dl',
      { class: 'about' },
      ...facts.map(([name, value]) =>
        element('div', {}, element('dt', {}, name), element('dd', {}, escapeHtml(value))),
      ),
    ),
  )
}

/** The figures that most people come for, each with those of the others. */
function drawFigures(results: Results): string {
  const main = results.scenarios.filter(
    (scenario) => scenario.role === 'main' && scenario.measured.gatherd !== undefined,
  )
  const pick = (encoding: string, idCount: number, dim: number): ScenarioResult | undefined =>
    main.find(
      (one) =>
        one.kind === 'lookup' && one.encoding === encoding && one.dim === dim && one.idCount === idCount,
    )
  const fastest = main
    .filter((one) => one.kind === 'lookup')
    .sort(
      (left, right) =>
        right.measured.gatherd.median.rowsPerSecond - left.measured.gatherd.median.rowsPerSecond,
    )[0]
  const open = results.openLoop.find(({ scenarioId }) => scenarioId === pick('binary', 64, 64)?.id)
  const cpu: Print = (measure) => formatUs(measure.serverCpuPerRequestUs)
  const rowsPerSecond: Print = (measure) => formatShort(measure.rowsPerSecond)
  const figures = [
    drawFigure('of server CPU per lookup of 8 rows of 16', pick('binary', 8, 16)?.measured, cpu),
    drawFigure('of server CPU per lookup of 1,024 rows of 64', pick('binary', 1_024, 64)?.measured, cpu),
    fastest &&
      drawFigure(
        `rows a second, ${formatCount(fastest.idCount)} rows of ${fastest.dim} each`,
        fastest.measured,
        rowsPerSecond,
      ),
    open &&
      drawFigure(
        `p99 at ${formatCount(open.ratePerSecond)} lookups a second, 64 rows of 64 each`,
        open.measured,
        (measure) => formatUs(measure.p99Us),
      ),
  ]
  return element('div', { class: 'figures' }, ...figures.map((figure) => figure ?? ''))
}

type Print = (measure: ScenarioResult['measured'][string]['median']) => string

function drawFigure(what: string, measured: ScenarioResult['measured'] | undefined, print: Print): string {
  if (measured?.gatherd === undefined) return ''
  const others = Object.entries(measured)
    .filter(([name]) => name !== 'gatherd')
    .map(([name, { median }]) => `${name} ${print(median)}`)
  return element(
    'div',
    { class: 'figure' },
    element('b', {}, print(measured.gatherd.median)),
    element('span', {}, escapeHtml(what)),
    others.length === 0 ? '' : element('small', {}, escapeHtml(others.join(', '))),
  )
}
