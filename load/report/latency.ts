/** Latency percentiles: in the closed loop, and at a fixed rate. */
import type { Results, ScenarioResult } from '../results.ts'
import { formatCount } from './format.ts'
import { labelOf, sizeOf } from './names.ts'
import { drawRangeKey, drawRanges, type RangeRow } from './ranges.ts'
import { section } from './section.ts'
import { element } from './svg.ts'

/** Latency in the closed loop: binary lookups on the left, the rest on the right, all on one axis. */
export function drawLatency(results: Results): string {
  const main = results.scenarios.filter((scenario) => scenario.role === 'main')
  const rowsWhere = (wanted: (scenario: ScenarioResult) => boolean): RangeRow[] =>
    main
      .filter(wanted)
      .map((scenario) =>
        rangeRow(scenario, scenario.kind === 'lookup' ? sizeOf(scenario) : labelOf(scenario)),
      )
  const binary = rowsWhere(({ encoding }) => encoding === 'binary')
  const json = rowsWhere(({ kind, encoding }) => kind === 'lookup' && encoding === 'json')
  const gradients = rowsWhere(({ kind }) => kind === 'gradients')
  const all = [...binary, ...json, ...gradients]
  if (all.length === 0) return ''
  const draw = (title: string, rows: RangeRow[]): string =>
    rows.length === 0 ? '' : element('h3', {}, title) + drawRanges(`Latency: ${title}`, rows, all)
  return section(
    'Latency under full load',
    'With every connection always busy this is mostly queueing: connections divided by throughput. The ' +
      'axis is logarithmic.',
    drawRangeKey(),
    element(
      'div',
      { class: 'wide' },
      element('div', {}, draw('Binary lookups', binary)),
      element('div', {}, draw('JSON lookups', json), draw('Gradient updates', gradients)),
    ),
  )
}

/** Latency at a fixed rate. */
export function drawOpenLoop({ openLoop, scenarios }: Results): string {
  if (openLoop.length === 0) return ''
  const rows = openLoop.map(({ scenarioId, ratePerSecond, measured }) => {
    const scenario = scenarios.find(({ id }) => id === scenarioId) as ScenarioResult
    return rangeRow({ ...scenario, measured }, `${labelOf(scenario)} at ${formatCount(ratePerSecond)}/s`)
  })
  const middle = Math.ceil(rows.length / 2)
  const halves = [rows.slice(0, middle), rows.slice(middle)]
  return section(
    'Latency at a fixed rate',
    'The open loop: requests come at random moments at the same average rate for every server, half of ' +
      'what the slowest one manages, and latency counts from the moment a request was due. The axis is ' +
      'logarithmic.',
    drawRangeKey(),
    element(
      'div',
      { class: 'wide open' },
      ...halves
        .filter((half) => half.length > 0)
        .map((half) => drawRanges('Latency in the open loop', half, rows)),
    ),
  )
}

const rangeRow = (scenario: ScenarioResult, label: string): RangeRow => ({
  label,
  bands: Object.entries(scenario.measured).map(([name, { median }]) => ({
    name,
    latency: median,
    requestCount: median.requestCount,
  })),
})
