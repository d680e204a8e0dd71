/** A table of all numbers, for readers who want to compute with them. */
import type { OpenLoopResult, Results, ScenarioResult } from '../results.ts'
import type { RunMeasure } from '../measure/meter.ts'
import { escapeHtml, formatCount, formatShort, formatUs } from './format.ts'
import { element, seriesClass } from './svg.ts'

interface Column {
  heading: string
  read(measure: RunMeasure): string
}

const COLUMNS: Column[] = [
  { heading: 'answers', read: (measure) => formatCount(measure.requestCount) },
  { heading: 'requests/s', read: (measure) => formatCount(measure.requestsPerSecond) },
  { heading: 'rows/s', read: (measure) => formatShort(measure.rowsPerSecond) },
  { heading: 'p50', read: (measure) => formatUs(measure.p50Us) },
  { heading: 'p90', read: (measure) => formatUs(measure.p90Us) },
  { heading: 'p99', read: (measure) => formatUs(measure.p99Us) },
  { heading: 'p99.9', read: (measure) => formatUs(measure.p999Us) },
  { heading: 'max', read: (measure) => formatUs(measure.maxUs) },
  { heading: 'CPU µs/req.', read: (measure) => formatCount(measure.serverCpuPerRequestUs) },
  { heading: 'CPU ns/row', read: (measure) => formatCount(measure.serverCpuPerRowNs) },
  { heading: 'server cores', read: (measure) => formatCount(measure.serverCores) },
  { heading: 'client cores', read: (measure) => formatCount(measure.clientCores) },
  { heading: 'other cores', read: (measure) => formatCount(measure.otherCores) },
]

/** The table of medians: closed loop, then open loop. */
export function drawTable({ scenarios, openLoop }: Results): string {
  const head = ['scenario', 'server', ...COLUMNS.map(({ heading }) => heading)].map((heading) =>
    element('th', { scope: 'col' }, escapeHtml(heading)),
  )
  const body = [
    ...scenarios.flatMap((scenario) => rowsOf(scenario.id, scenario.measured)),
    ...openLoop.flatMap((open) => rowsOf(nameOpen(open), open.measured)),
  ]
  return element(
    'div',
    { class: 'scroll' },
    element('table', {}, element('thead', {}, element('tr', {}, ...head)), element('tbody', {}, ...body)),
  )
}

const nameOpen = ({ scenarioId, ratePerSecond }: OpenLoopResult): string =>
  `${scenarioId}, open loop at ${formatCount(ratePerSecond)}/s`

function rowsOf(id: string, measured: ScenarioResult['measured']): string[] {
  return Object.entries(measured).map(([name, { median }], index) =>
    element(
      'tr',
      { class: index === 0 ? 'first' : undefined },
      index === 0
        ? element('th', { scope: 'rowgroup', rowspan: Object.keys(measured).length }, escapeHtml(id))
        : '',
      element('td', { class: `server ${seriesClass(name)}` }, element('i', {}), escapeHtml(name)),
      ...COLUMNS.map(({ read }) => element('td', {}, read(median))),
    ),
  )
}
