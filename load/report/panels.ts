/** Draws throughput, CPU per request and uploads as bars. A section without data is an empty string. */
import type { RunMeasure } from '../measure/meter.ts'
import type { Results, ScenarioResult } from '../results.ts'
import { type Bar, drawBars } from './bars.ts'
import { escapeHtml, formatBytes, formatCount, formatShort, formatUs } from './format.ts'
import { groupScenarios, headingOf } from './names.ts'
import { section } from './section.ts'
import { element } from './svg.ts'

/** A client that is busier than this limits the figure. */
const CLIENT_CORES_FULL = 0.9

/** Requests per second of every scenario. */
export function drawThroughput(results: Results): string {
  if (groupScenarios(results.scenarios).length === 0) return ''
  const content = drawGroups(
    results,
    (measure) => measure.requestsPerSecond,
    (measure) => {
      const label = formatShort(measure.requestsPerSecond)
      return measure.clientCores >= CLIENT_CORES_FULL ? `≥ ${label}` : label
    },
  )
  const bounded = results.scenarios.some(({ measured }) =>
    Object.values(measured).some(({ median }) => median.clientCores >= CLIENT_CORES_FULL),
  )
  const warning = bounded ? ' “≥”: the client was at its limit, the server could do more.' : ''
  return section(
    'Throughput',
    `Requests per second in the closed loop. Each panel has its own scale; longer is better.${warning}`,
    content,
  )
}

/** Server CPU per request of every scenario. */
export function drawCpu(results: Results): string {
  const main = groupScenarios(results.scenarios).flatMap(({ scenarios }) => scenarios)
  const measured = main.some((scenario) =>
    Object.values(scenario.measured).some(({ median }) => median.serverCpuPerRequestUs !== undefined),
  )
  if (!measured) return ''
  const bars = drawGroups(
    results,
    (measure) => measure.serverCpuPerRequestUs,
    (measure) => formatUs(measure.serverCpuPerRequestUs),
  )
  return section(
    'Server CPU per request',
    'Processor time of the whole server, all threads and processes. Client and server share the ' +
      'machine, so this compares servers better than requests per second. Each panel has its own scale; ' +
      'shorter is better.',
    bars,
  )
}

/** The speed of uploads. */
export function drawUploads({ targets }: Results): string {
  const tables = new Map<string, Bar[]>()
  for (const { name, uploads } of targets) {
    for (const { rowCount, dim, durability, bytesPerSecond, seconds, table } of uploads) {
      const place = durability === 'disk' ? ', on disk' : ''
      const heading = `${table}: ${formatShort(rowCount)} × ${dim}${place}`
      const bar = {
        name,
        value: bytesPerSecond,
        label: `${formatBytes(bytesPerSecond)}/s`,
        detail: `${formatUs(seconds * 1e6)} for ${formatBytes(rowCount * dim * 4)}`,
      }
      tables.set(heading, [...(tables.get(heading) ?? []), bar])
    }
  }
  if (tables.size === 0) return ''
  const panels = [...tables].map(([heading, bars]) => drawBars(heading, bars))
  return section(
    'Upload',
    'Raw float32 numbers in one streamed PUT, once each, from the first byte sent to the answer; Redis ' +
      'takes MSETs of 1,024 rows. Longer is better.',
    element('div', { class: 'panels', style: 'margin-top:18px' }, ...panels),
  )
}

function drawGroups(
  results: Results,
  read: (measure: RunMeasure) => number | undefined,
  print: (measure: RunMeasure) => string,
): string {
  const groups = groupScenarios(results.scenarios).map(({ title, scenarios }) => {
    const panels = scenarios.map((scenario) => drawBars(headingOf(scenario), barsOf(scenario, read, print)))
    return element(
      'div',
      {},
      element('h3', {}, escapeHtml(title)),
      element('div', { class: 'panels' }, ...panels),
    )
  })
  return element('div', { class: 'groups' }, ...groups)
}

function barsOf(
  scenario: ScenarioResult,
  read: (measure: RunMeasure) => number | undefined,
  print: (measure: RunMeasure) => string,
): Bar[] {
  return Object.entries(scenario.measured).flatMap(([name, { median }]) => {
    const value = read(median)
    if (value === undefined) return []
    const detail =
      `${formatCount(median.requestsPerSecond)} requests/s, ` +
      `${formatShort(median.rowsPerSecond)} rows/s, ${formatUs(median.serverCpuPerRequestUs)} of CPU ` +
      `each, ${formatUs((median.serverCpuPerRowNs ?? Number.NaN) / 1_000)} a row`
    return [{ name, value, label: print(median), detail }]
  })
}
