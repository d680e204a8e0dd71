/** The report: one HTML page with its plots and style inside, which can be mailed, archived or opened from disk. */
import type { Results, ScenarioResult } from './results.ts'
import { escapeHtml, formatBytes, formatCount, formatShort, formatUs } from './report/format.ts'
import { drawCpuPerRow, drawSweep } from './report/curves.ts'
import { drawLatency, drawOpenLoop } from './report/latency.ts'
import { drawCpu, drawThroughput, drawUploads } from './report/panels.ts'
import { drawLegend, section } from './report/section.ts'
import { STYLE } from './report/style.ts'
import { element } from './report/svg.ts'
import { drawTable } from './report/table.ts'

/** The whole page. It refers to nothing outside itself. */
export function renderReport(results: Results): string {
  const body = [
    drawHeader(results),
    drawFigures(results),
    drawThroughput(results),
    drawCpu(results),
    drawCpuPerRow(results),
    drawOpenLoop(results),
    drawLatency(results),
    drawSweep(results),
    drawUploads(results),
    section('All numbers', 'Medians of the repeats. The JSON file beside this page has every repeat.', drawTable(results)),
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
  const { machine, versions, commit, madeAt, method } = results
  const facts = [
    ['Machine', `${machine.cpu}, ${machine.coreCount} cores, ${formatBytes(machine.memoryBytes)}`],
    ['System', machine.kernel],
    ['Versions', `gatherd ${versions.gatherd}, Node ${versions.node.replace('v', '')}`],
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
      `Lookups and updates over HTTP of tables with ${formatCount(method.rowCount)} rows, client and servers on one machine.${method.quick ? ' A quick run: short windows, few scenarios.' : ''}`,
    ),
    drawLegend(results),
    element(
      'dl',
      { class: 'about' },
      ...facts.map(([name, value]) => element('div', {}, element('dt', {}, name), element('dd', {}, escapeHtml(value)))),
    ),
  )
}

/** The figures that most people come for, each with that of the best peer. */
function drawFigures(results: Results): string {
  const main = results.scenarios.filter((scenario) => scenario.role === 'main' && scenario.measured.gatherd !== undefined)
  const pick = (idCount: number): ScenarioResult | undefined =>
    main.find(
      (one) =>
        one.kind === 'lookup' && one.encoding === 'binary' && one.dim === 64 && one.idCount === idCount && one.distribution === 'zipf',
    )
  const fastest = main
    .filter((one) => one.kind === 'lookup')
    .sort((left, right) => right.measured.gatherd.median.rowsPerSecond - left.measured.gatherd.median.rowsPerSecond)[0]
  const open = results.openLoop.find(({ scenarioId }) => scenarioId === pick(64)?.id)
  const figures = [
    drawFigure('lookups a second, 8 rows of 64 each', pick(8)?.measured, (measure) => formatShort(measure.requestsPerSecond)),
    drawFigure(
      `rows a second, ${fastest === undefined ? '' : `${formatCount(fastest.idCount)} rows of ${fastest.dim} each`}`,
      fastest?.measured,
      (measure) => formatShort(measure.rowsPerSecond),
    ),
    drawFigure('of server CPU per lookup of 1,024 rows of 64', pick(1_024)?.measured, (measure) => formatUs(measure.serverCpuPerRequestUs)),
    drawFigure(`p99 at ${formatCount(open?.ratePerSecond)} lookups a second, 64 rows each`, open?.measured, (measure) =>
      formatUs(measure.p99Us),
    ),
  ]
  return element('div', { class: 'figures' }, ...figures)
}

function drawFigure(
  what: string,
  measured: ScenarioResult['measured'] | undefined,
  print: (measure: ScenarioResult['measured'][string]['median']) => string,
): string {
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

function drawMethod({ method, versions, machine, skipped, seconds, targets }: Results): string {
  const seeds = Object.entries(method.seeds)
    .map(([name, seed]) => `${name} ${seed}`)
    .join(', ')
  const memory = targets
    .filter(({ rssPeakBytes }) => rssPeakBytes !== undefined)
    .map(({ name, rssPeakBytes }) => `${name} ${formatBytes(rssPeakBytes)}`)
    .join(', ')
  const facts = [
    [
      'Load',
      `autocannon ${versions.autocannon} in one process, closed loop: each connection sends its next request when the last is answered. 16 connections; 8 for 8,192 ids.`,
    ],
    [
      'Placement',
      `Client and servers share the ${machine.coreCount} cores, so a faster client would raise requests per second. “Other cores” in the table is what neither used.`,
    ],
    [
      'Times',
      `${method.repeatCount} repeats, servers interleaved, of ${formatCount(method.windowSeconds)} s after ${formatCount(method.warmupSeconds)} s of warm-up; every figure is the median of the repeats. The run took ${Math.round(seconds)} s.`,
    ],
    [
      'Ids',
      `Zipf with s = ${method.zipfExponent}, the wanted rows spread over the table by a fixed permutation; uniform where said. Seeds: ${seeds}.`,
    ],
    [
      'Answers',
      'Compared with the uploaded rows to the bit before the run; during it every status and length is checked, and one wrong answer ends it.',
    ],
    ['Latency', 'Microseconds in a histogram of three digits. Fewer than 2,000 answers show no p99.9.'],
    ['CPU', 'Nanoseconds on a processor of all threads of the server process, from /proc.'],
    ['Memory', memory === '' ? 'Not measured.' : `Highest resident size, which holds all uploaded tables: ${memory}.`],
    ['Skipped', skipped.length === 0 ? 'Nothing.' : skipped.map(({ name, reason }) => `${name}: ${reason}`).join('; ')],
  ]
  return section(
    'Method',
    'What the figures mean, and what they leave out.',
    element('dl', { class: 'method' }, ...facts.map(([name, value]) => element('dt', {}, name) + element('dd', {}, escapeHtml(value)))),
  )
}
